//! What is kept is what lies in the rows, and what has left is gone as a whole.

use std::collections::{BTreeMap, BTreeSet};

use flame_machine::row::ROW_BYTES;
use flame_machine::{Batch, Command, Reply, Row, RowKey, Table, view};
use flame_types::{Position, SessionKey, TaskNo};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::generate::{config, run, steps};
use crate::world::World;

/// The rows of one session's tasks.
#[derive(Default)]
struct Found {
    bytes: u64,
    /// By the first task: the last.
    submits: BTreeMap<TaskNo, TaskNo>,
    finished: BTreeSet<TaskNo>,
    cancelled: u64,
    done: BTreeSet<TaskNo>,
    positions: Vec<Position>,
}

fn rows_of(world: &World) -> BTreeMap<SessionKey, Found> {
    let mut all: BTreeMap<SessionKey, Found> = BTreeMap::new();
    for (key, row) in world.rows.iter().filter(|(key, _)| Table::OF_SESSION.contains(&key.table())) {
        let number = |place| key.number_at(place).expect("rows of sessions have numbers");
        let found = all.entry(SessionKey(number(0))).or_default();
        match row {
            Row::CommonData(data) => found.bytes += data.len() as u64,
            Row::Inputs(row) => {
                found.bytes += row.kept_bytes();
                found.submits.insert(TaskNo(number(1)), TaskNo(number(1) + row.inputs.count() - 1));
            }
            Row::Finished(row) => {
                found.bytes += row.kept_bytes();
                found.finished.insert(TaskNo(number(1)));
            }
            Row::CancelledRange(row) => {
                found.bytes += ROW_BYTES;
                found.cancelled += row.last.0 + 1 - number(1);
            }
            Row::Done(row) => {
                found.done.extend(&row.tasks);
                found.positions.push(key.done_position().expect("a position"));
            }
            other => panic!("{other:?} is no row of a session"),
        }
    }
    all
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let rows = rows_of(world);
    let views = view::sessions(&world.state, None, usize::MAX);
    for (key, found) in &rows {
        prop_assert!(
            views.iter().any(|view| view.key == *key),
            "rows of session {} are left, {:?}",
            key,
            found.positions
        );
    }
    for view in views {
        let none = Found::default();
        let found = rows.get(&view.key).unwrap_or(&none);
        prop_assert_eq!(found.bytes, view.kept_bytes, "bytes of session {}", view.key);
        prop_assert_eq!(found.finished.len() as u64 + found.cancelled, view.kept_tasks(), "session {}", view.key);
        prop_assert_eq!(&found.done, &found.finished, "what is done in session {}", view.key);
        prop_assert!(found.positions.iter().all(|at| *at > view.done_from), "session {}", view.key);
        let given = |task: &TaskNo| found.submits.range(..=*task).next_back().is_some_and(|(_, last)| last >= task);
        prop_assert!(found.finished.iter().all(given), "inputs of session {} are gone", view.key);
        let live = view::live_tasks(&world.state, view.key, TaskNo(0), 2_000);
        prop_assert!(live.iter().all(|task| given(&task.no)), "inputs of session {} are gone", view.key);
        let kept: BTreeSet<TaskNo> = live.iter().map(|task| task.no).chain(found.finished.iter().copied()).collect();
        let used = |(first, last): (&TaskNo, &TaskNo)| kept.range(first..=last).next().is_some();
        if view.cancelled == 0 && live.len() < 2_000 && view.trimmed > 0 {
            prop_assert!(
                found.submits.iter().all(used),
                "inputs of session {} are left: {:?}",
                view.key,
                found.submits
            );
        }
    }
    Ok(())
}

/// Random batches do what these properties are about: trims are taken, and others refused.
#[test]
fn random_batches_trim() {
    const LISTS: usize = 64;
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..LISTS {
        let list = steps().new_tree(&mut runner).expect("a list of steps").current();
        let mut visit = |world: &mut World, batch: Batch| {
            let trims: Vec<bool> = batch.items.iter().map(|item| matches!(item.command, Command::Trim(_))).collect();
            let replies = world.apply_batch(batch).replies;
            for ((_, _, reply), _) in replies.iter().zip(trims).filter(|(_, is_trim)| *is_trim) {
                taken += usize::from(*reply == Reply::Done);
                refused += usize::from(matches!(reply, Reply::Refused(_)));
            }
            Ok(())
        };
        run(&list, &mut visit).expect("nothing is checked here");
    }
    assert!(taken > LISTS / 8 && refused > LISTS / 8, "{taken} taken, {refused} refused");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_kept_lies_in_the_rows(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            check(world)
        })?;
    }

    #[test]
    fn what_has_left_never_comes_back(steps in steps()) {
        let mut before: BTreeMap<SessionKey, (Position, u64)> = BTreeMap::new();
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            for view in view::sessions(&world.state, None, usize::MAX) {
                let known = before.insert(view.key, (view.done_from, view.trimmed)).unwrap_or_default();
                prop_assert!(known.0 <= view.done_from && known.1 <= view.trimmed, "session {}", view.key);
            }
            Ok(())
        })?;
    }

    /// The leader may let time stand still until then.
    #[test]
    fn nothing_leaves_for_its_age_before_the_time_that_is_named(steps in steps()) {
        use flame_machine::retention::{due_sessions, expired_sessions, next_expiry, next_trim};
        let is_due = |world: &World| {
            !due_sessions(&world.state, None, usize::MAX).0.is_empty() || !expired_sessions(&world.state, 1).is_empty()
        };
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            if is_due(world) {
                return Ok(());
            }
            let named = next_expiry(&world.state).into_iter().chain(next_trim(&world.state, None, usize::MAX)).min();
            let left_ms = named.map(|at| at.since(world.state.now()));
            prop_assert!(left_ms.is_none_or(|left| left > 0), "{:?} is due", named);
            // Without an end it is the same for an hour, and with one just before it and then not.
            let step = |left: u64| u32::try_from(left).unwrap_or(u32::MAX);
            let mut later = world.clone();
            later.apply(step(left_ms.map_or(3_600_000, |left| left - 1)), vec![Command::Tick]);
            let same = |world: &World| {
                next_expiry(&world.state).into_iter().chain(next_trim(&world.state, None, usize::MAX)).min()
            };
            // Deadlines that came meanwhile may have closed sessions or ended tasks: then there is another time.
            if same(&later) != named {
                return Ok(());
            }
            prop_assert!(!is_due(&later), "before {:?}", named);
            if left_ms.is_some() {
                later.apply(1, vec![Command::Tick]);
                prop_assert!(is_due(&later), "at {:?}", named);
            }
            Ok(())
        })?;
    }

    /// A plan holds however long it takes: made in one state, it does in a later one what it says, or nothing.
    #[test]
    fn a_late_plan_does_what_it_says_or_nothing(steps in steps(), at in any::<prop::sample::Index>()) {
        let mut plans: Vec<Command> = Vec::new();
        run(&steps, &mut |world, batch| {
            let (due, _) = flame_machine::retention::due_sessions(&world.state, None, usize::MAX);
            plans.extend(due.iter().filter_map(|due| world.trim(due.session())));
            world.apply_batch(batch);
            if !plans.is_empty() {
                let plan = plans.swap_remove(at.index(plans.len()));
                let Command::Trim(trim) = plan.clone() else { unreachable!("it was planned as a trim") };
                world.index = world.index.next();
                let item = flame_machine::Item {
                    client: flame_types::ClientId::NONE,
                    seq: flame_types::Seq(0),
                    below: flame_types::Seq(0),
                    command: plan,
                };
                let wall_ms = flame_types::WallMs(world.wall);
                let applied = world.apply_batch(Batch { wall_ms, cluster_delta_ms: 0, items: vec![item] });
                let (_, _, reply) = &applied.replies[0];
                if *reply == Reply::Done {
                    let gone = trim.tasks.iter().flat_map(|(first, last)| first.0..=last.0).map(TaskNo);
                    for task in gone {
                        let key = RowKey::task(Table::Finished, trim.session, task);
                        prop_assert!(!world.rows.contains_key(&key), "task {}", task);
                    }
                }
            }
            check(world)
        })?;
    }
}
