//! An assignment's executor is bound to the task's session.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_assignment_is_with_an_executor_of_its_session(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::bound(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
