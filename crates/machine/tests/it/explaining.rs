//! What is said of a task that does not run is true. What is said in particular is in `testdata/explain.txt`.

use std::collections::BTreeSet;

use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::schedule::{Explanation, NodeReasons, Reason, Standing, explain_task};
use flame_machine::view::{self, TaskPlace};
use flame_machine::{Batch, Ctx, Item, Reply, State};
use flame_types::{ClientId, Seq, SessionKey, SessionState, TaskNo, WallMs};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::world::World;

/// The first and the last tasks of a session that are looked at.
const TASKS: u64 = 4;

/// Sessions of which every task is looked at have fewer.
const FEW_TASKS: u64 = 16;

/// Each explanation costs a plan: fewer lists than other properties try.
fn fewer() -> ProptestConfig {
    ProptestConfig { cases: 64, ..config() }
}

/// Every session with the first and the last of its tasks, those before and after them included, and what is said.
fn explanations(state: &State) -> Vec<(SessionKey, TaskNo, Option<Explanation>)> {
    let sessions = view::sessions(state, None, usize::MAX);
    let numbers = |tasks: u64| (0..TASKS.min(tasks + 2)).chain(tasks.saturating_sub(1)..tasks + 2);
    let tasks = sessions.iter().flat_map(|session| {
        numbers(session.tasks).collect::<BTreeSet<u64>>().into_iter().map(|task| (session.key, TaskNo(task)))
    });
    tasks.map(|(key, task)| (key, task, explain_task(state, key, task))).collect()
}

/// The explanation says where the task is.
fn check_standing(
    state: &State,
    key: SessionKey,
    task: TaskNo,
    explanation: &Explanation,
) -> Result<(), TestCaseError> {
    let place = view::task_place(state, key, task);
    match (&explanation.standing, &place) {
        (Standing::Waiting, TaskPlace::Pending) | (Standing::Ended, TaskPlace::Ended) => {}
        (Standing::Queued { executor, node, .. }, TaskPlace::Assigned { executor: e, node: n, started: None, .. }) => {
            prop_assert_eq!((executor, node), (e, n));
        }
        (
            Standing::Running { executor, node, since, .. },
            TaskPlace::Assigned { executor: e, node: n, started: Some(at), .. },
        ) => {
            prop_assert_eq!((executor, node, since), (e, n, at));
        }
        (said, found) => prop_assert!(false, "{:?} is said of {:?}", said, found),
    }
    let waits = explanation.standing == Standing::Waiting;
    prop_assert!(waits || explanation.reasons.is_empty() && explanation.nodes.is_empty());
    prop_assert!(!explanation.standing.to_string().is_empty());
    Ok(())
}

/// Each reason holds by what readers see of the state.
fn check_reasons(state: &State, key: SessionKey, task: TaskNo, reasons: &[Reason]) -> Result<(), TestCaseError> {
    let session = view::session(state, key).expect("a session of the state");
    let suspended = session.state != SessionState::Open;
    let said = |kind: &str| reasons.iter().any(|reason| reason.kind() == kind);
    prop_assert_eq!(said("suspended"), suspended);
    let live = view::task(state, key, task).expect("it waits");
    prop_assert_eq!(said("not_before"), live.not_before.is_some());
    for reason in reasons {
        prop_assert!(!reason.to_string().is_empty());
        match reason {
            Reason::Behind { tasks } => prop_assert!((1..=session.pending).contains(tasks), "{:?}", reason),
            Reason::Gang { batch_size, ready, held } => {
                prop_assert!(ready < batch_size && ready <= held, "{:?}", reason);
                prop_assert_eq!(*batch_size, session.spec.batch_size);
            }
            Reason::NoExecutor => prop_assert_eq!(session.executors, 0),
            Reason::ExecutorsBusy { executors, entering, out } => {
                prop_assert_eq!(*executors, session.executors);
                prop_assert!(entering + out <= *executors, "{:?}", reason);
            }
            Reason::SessionLimit { max_instances } => prop_assert!(session.executors >= *max_instances),
            Reason::NoWorkers => prop_assert!(view::nodes(state, None, 1).is_empty()),
            _ => {}
        }
    }
    Ok(())
}

/// What is said of the workers to each session in which a task waits.
fn workers(state: &State) -> Vec<(SessionKey, NodeReasons)> {
    let mut seen = BTreeSet::new();
    let first = explanations(state).into_iter().filter_map(|(key, _, explanation)| {
        let nodes = explanation?.nodes;
        (!nodes.is_empty() && seen.insert(key)).then_some((key, nodes))
    });
    first.flat_map(|(key, nodes)| nodes.into_iter().map(move |node| (key, node)).collect::<Vec<_>>()).collect()
}

/// A plan of one more executor on this worker, as the leader would make it now.
fn place(state: &State, key: SessionKey, node: &NodeReasons) -> Command {
    let session = view::session(state, key).expect("a session of the state");
    let (resources, have) = (session.spec.resources, session.executors);
    Command::Place { node: node.node.clone(), session: key, resources, have, count: 1, reuse: None }
}

proptest! {
    #![proptest_config(fewer())]

    /// Every task of every session can be asked for, and every one that waits has a reason: dispatch has given out the
    /// others.
    #[test]
    fn whoever_waits_is_told_why(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            for (key, task, explanation) in explanations(&world.state) {
                let Some(explanation) = explanation else {
                    prop_assert_eq!(view::task_place(&world.state, key, task), TaskPlace::Unknown);
                    continue;
                };
                prop_assert!(!explanation.is_clear(), "nothing is said of task {}/{}", key, task);
                check_standing(&world.state, key, task, &explanation)?;
                if explanation.standing == Standing::Waiting {
                    check_reasons(&world.state, key, task, &explanation.reasons)?;
                }
            }
            Ok(())
        })?;
    }

    /// Exactly one waiting task of a session is not behind others or waits for its time, and it is the one that is given
    /// out when an executor comes.
    #[test]
    fn the_line_is_that_of_dispatch(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            for session in view::sessions(&world.state, None, usize::MAX).iter().filter(|session| session.tasks < FEW_TASKS) {
                let mut first = 0;
                for task in 1..=session.tasks {
                    let explanation = explain_task(&world.state, session.key, TaskNo(task)).expect("it was submitted");
                    let in_line = |reason: &Reason| matches!(reason, Reason::Behind { .. } | Reason::NotBefore { .. });
                    let waits = explanation.standing == Standing::Waiting;
                    first += u32::from(waits && !explanation.reasons.iter().any(in_line));
                }
                prop_assert!(first <= 1, "{} tasks of session {} are the first", first, session.key);
            }
            Ok(())
        })?;
    }

    /// Nothing is said of a worker just when an executor could be placed there, as far as that is up to the worker.
    #[test]
    fn nothing_is_said_of_a_worker_with_room(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            for (key, node) in workers(&world.state) {
                let command = place(&world.state, key, &node);
                let item = Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
                let batch = Batch { wall_ms: WallMs(world.wall), cluster_delta_ms: 0, items: vec![item] };
                let ctx = Ctx { index: world.index.next(), term: world.term };
                match &world.state.clone().apply(ctx, batch).replies[0].2 {
                    Reply::Refused(Refusal::NoRoom(_, why)) => {
                        prop_assert!(!node.reasons.is_empty(), "{}: {}", node.node, why);
                    }
                    // What stands against it is the session's own.
                    Reply::Refused(Refusal::StalePlan(_)) => {}
                    Reply::Done => prop_assert!(node.reasons.is_empty(), "{:?}", node),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            Ok(())
        })?;
    }
}

/// Random batches meet what these properties are about.
#[test]
fn random_batches_give_many_reasons() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut kinds, mut standings) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..512 {
        let list = steps().new_tree(&mut runner).expect("a list of steps").current();
        let mut visit = |world: &mut World, batch| {
            world.apply_batch(batch);
            for explanation in explanations(&world.state).into_iter().filter_map(|(_, _, explanation)| explanation) {
                kinds.extend(explanation.reasons.iter().map(Reason::kind));
                kinds.extend(explanation.nodes.iter().flat_map(|node| &node.reasons).map(|reason| reason.kind()));
                standings.insert(match explanation.standing {
                    Standing::Waiting => "waiting",
                    Standing::Queued { .. } => "queued",
                    Standing::Running { .. } => "running",
                    Standing::Ended => "ended",
                });
            }
            Ok(())
        };
        run(&list, &mut visit).expect("nothing is checked here");
    }
    for kind in ["suspended", "not_before", "behind", "gang", "no_executor", "executors_busy", "session_limit"] {
        assert!(kinds.contains(kind), "no task has the reason {kind}: {kinds:?}");
    }
    for kind in ["backing_off", "expired", "detached", "cordoned", "draining", "full", "priority"] {
        assert!(kinds.contains(kind), "nothing has the reason {kind}: {kinds:?}");
    }
    assert_eq!(standings.len(), 4, "{standings:?}");
}
