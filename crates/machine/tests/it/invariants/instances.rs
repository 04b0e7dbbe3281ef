//! Executors are at most what session and application may have.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sessions_and_applications_keep_their_limits(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::limits(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
