//! What the planner promises, whatever the state. What it decides in particular is in the scenario files.

use flame_machine::command::WaitReason;
use flame_machine::{Command, Reply, schedule};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::print;

proptest! {
    #![proptest_config(config())]

    /// Applied to the state from which it was made, a plan is accepted as a whole.
    #[test]
    fn apply_accepts_what_is_planned(steps in steps()) {
        run(&steps, |world, batch| {
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

    /// Without news from outside the planner comes to rest, and leaves the state whole.
    #[test]
    fn planning_comes_to_rest(steps in steps()) {
        let mut world = run(&steps, |world, batch| {
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
        run(&steps, |world, batch| {
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
