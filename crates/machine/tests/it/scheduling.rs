//! What the planner promises, whatever the state. What it decides in particular is in the scenario files.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use flame_machine::command::WaitReason;
use flame_machine::{Command, Reply, State, invariants, schedule, view};
use flame_types::{NodeState, SessionKey};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::print;

/// The code of session events that say why it waits.
const WAITS: i32 = 1003;

/// What a session has told of its waiting.
fn told(state: &State, session: SessionKey) -> Vec<String> {
    let view = view::session(state, session).expect("a session of the state");
    view.events.into_iter().filter(|event| event.code == WAITS).map(|event| event.message).collect()
}

/// Why nobody could serve a session, as its user would find out from the lists of workers and applications.
fn found_by_hand(state: &State, session: SessionKey) -> Option<WaitReason> {
    let spec = view::session(state, session).expect("a session of the state").spec;
    let shim = view::app(state, spec.application.as_str()).expect("the session's application").spec.shim;
    let mut nodes = view::nodes(state, None, usize::MAX);
    nodes.retain(|node| node.state != NodeState::NotReady);
    if nodes.is_empty() {
        return Some(WaitReason::NoWorkers);
    }
    nodes.retain(|node| node.shims.contains(&shim));
    if nodes.is_empty() {
        return Some(WaitReason::NoShim { shim });
    }
    let possible: u64 = nodes.iter().map(|node| spec.resources.count_in(node.capacity)).sum();
    match u32::try_from(possible).expect("small workers") {
        0 => Some(WaitReason::TooLarge { resources: spec.resources }),
        possible if possible < spec.batch_size => Some(WaitReason::Gang { batch_size: spec.batch_size, possible }),
        _ => None,
    }
}

proptest! {
    #![proptest_config(config())]

    /// A session that no worker could serve says so from its creation, before it has any task.
    #[test]
    fn a_new_session_that_nobody_can_serve_says_so(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let alone = batch.items.len() == 1 && batch.cluster_delta_ms == 0;
            let applied = world.apply_batch(batch);
            for (_, _, reply) in applied.replies.into_iter().filter(|_| alone) {
                let Reply::Session { key, created: true } = reply else { continue };
                let expected = found_by_hand(&world.state, key);
                let told = told(&world.state, key);
                prop_assert_eq!(told.len(), usize::from(expected.is_some()), "{:?}: {:?}", expected, told);
                prop_assert_eq!(view::session(&world.state, key).expect("it was made").wait, expected);
            }
            Ok(())
        })?;
    }

    /// However workers come and go: a reason is told when its kind changes, and never twice in the same words.
    #[test]
    fn a_reason_is_told_once(steps in steps()) {
        let mut before = BTreeMap::new();
        run(&steps, &mut |world, batch| {
            world.settle();
            let kinds = |state: &State| -> BTreeMap<_, _> {
                let kind = |view: &view::SessionView| view.wait.as_ref().map(discriminant);
                let views = view::sessions(state, None, usize::MAX);
                views.iter().map(|view| (view.key, (kind(view), told(state, view.key)))).collect()
            };
            let planned = kinds(&world.state);
            for (key, (kind, told)) in &planned {
                let distinct: BTreeSet<&String> = told.iter().collect();
                prop_assert_eq!(distinct.len(), told.len(), "session {}: {:?}", key, told);
                // A session that waits for nothing may have waited, and been told why, between the two looks.
                if let Some((kind_before, told_before)) = before.get(key)
                    && kind_before == kind
                    && kind.is_some()
                {
                    prop_assert_eq!(told_before, told, "session {} waits for the same kind of reason, {:?}", key, kind);
                }
            }
            world.apply_batch(batch);
            before = kinds(&world.state);
            Ok(())
        })?;
    }

    /// Applied to the state from which it was made, a plan is accepted as a whole.
    #[test]
    fn apply_accepts_what_is_planned(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            let mut copy = world.clone();
            let plan = schedule::plan(&copy.state);
            let replies = copy.apply(0, plan.clone()).replies;
            for (command, (_, _, reply)) in plan.iter().zip(replies) {
                prop_assert!(!matches!(reply, Reply::Refused(_)), "{}: {:?}", print::command(command), reply);
            }
            Ok(())
        })?;
    }

    /// Sessions that hold just what they want are not looked at while there is enough for everybody: that changes no
    /// plan, neither the first nor any that follows from it.
    #[test]
    fn leaving_settled_sessions_out_changes_no_plan(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::planned(&world.state).map_err(TestCaseError::fail)?;
            let mut copy = world.clone();
            copy.apply(0, schedule::plan(&copy.state));
            invariants::planned(&copy.state).map_err(TestCaseError::fail)?;
            Ok(())
        })?;
    }

    /// Without news from outside the planner comes to rest, and leaves the state whole.
    #[test]
    fn planning_comes_to_rest(steps in steps()) {
        let mut world = run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            Ok(())
        })?;
        world.settle();
        world.check().map_err(TestCaseError::fail)?;
        prop_assert_eq!(schedule::plan(&world.state), Vec::new());
    }

    /// The planner is asked only when something says so: if nothing does, it has nothing new to say. (Which of the two
    /// passing reasons is shown, busy or behind a higher priority, may lag until it runs next.)
    #[test]
    fn what_makes_a_plan_is_announced(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.settle();
            // A reason that nobody planned is put right when the planner runs next, not at once.
            let unplanned = batch.items.iter().any(|item| matches!(item.command, Command::Waiting { .. }));
            let applied = world.apply_batch(batch);
            if !unplanned && !applied.placement_dirty {
                let plan = schedule::plan(&world.state);
                let passing = |reason: &WaitReason| matches!(reason, WaitReason::Busy | WaitReason::Priority { .. });
                let matters = plan.iter().filter(|command| {
                    !matches!(command, Command::Waiting { reason: Some(reason), .. } if passing(reason))
                });
                let shown: Vec<String> = matters.map(print::command).collect();
                prop_assert!(shown.is_empty(), "nobody asked for {:?}", shown);
            }
            Ok(())
        })?;
    }
}
