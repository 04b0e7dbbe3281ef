//! What is allocated is the sum over executors that have not left, and at most the capacity.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_node_is_overcommitted(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::capacity(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
