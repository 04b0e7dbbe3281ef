//! A closed session has nothing pending, and nothing assigned but places of tasks that have ended.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_closed_session_has_nothing_left_to_do(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::closed(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
