//! Counters are the sizes of what they count.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn counters_are_the_sizes_of_what_they_count(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::counters(&world.state).map_err(TestCaseError::fail)
        })?;
    }
}
