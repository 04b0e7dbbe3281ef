//! Copies that restart at different points do the same and are the same.

use flame_machine::{Ctx, State, digest, invariants};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn three_copies_agree(steps in steps(), restarts in prop::collection::vec(any::<bool>(), 32)) {
        let mut second = State::new();
        let mut third = State::new();
        let mut at = 0;
        run(&steps, &mut |world, batch| {
            let ctx = Ctx { index: world.index, term: world.term };
            if restarts[at % restarts.len()] {
                third = State::load(third.rows()).expect("rows of a state");
            }
            at += 1;
            let expected = world.apply_batch(batch.clone());
            let applied = second.apply(ctx, batch.clone());
            prop_assert_eq!(&applied, &expected);
            prop_assert_eq!(third.apply(ctx, batch), expected);
            prop_assert!(second == world.state, "{}", invariants::difference(&second, &world.state));
            prop_assert!(third == world.state, "{}", invariants::difference(&third, &world.state));
            Ok(())
        })?;
        prop_assert_eq!(digest::digest(&second), digest::digest(&third));
    }
}
