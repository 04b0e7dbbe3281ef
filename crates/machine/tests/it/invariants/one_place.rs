//! A task is in exactly one of pending, assigned, finished.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_task_is_in_exactly_one_place(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::one_place(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
