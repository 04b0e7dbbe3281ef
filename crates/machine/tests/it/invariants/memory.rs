//! Memory is a function of the rows, and the rows on disk are those of memory.

use flame_machine::invariants;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn memory_is_a_function_of_the_rows(steps in steps()) {
        run(&steps, &mut |world, batch| {
            world.apply_batch(batch);
            invariants::memory(&world.state).map_err(TestCaseError::fail)?;
            world.check_rows().map_err(TestCaseError::fail)
        })?;
    }
}
