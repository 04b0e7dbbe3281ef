//! Cluster time never decreases, what is shown does not run backwards, and nothing that is due waits.

use flame_types::WallMs;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn time_only_advances(steps in steps(), backwards in any::<u16>()) {
        run(&steps, |world, mut batch| {
            let (time, wall) = (world.state.now(), world.state.cluster().wall);
            // A proposer whose clock is behind.
            batch.wall_ms = WallMs(batch.wall_ms.0 - i64::from(backwards % 5000));
            let delta = u64::from(batch.cluster_delta_ms);
            world.apply_batch(batch);
            prop_assert_eq!(world.state.now(), time.plus(delta));
            prop_assert!(world.state.cluster().wall >= wall);
            let deadline = world.state.next_deadline();
            prop_assert!(deadline.is_none_or(|at| at > world.state.now()), "{:?} is due", deadline);
            Ok(())
        })?;
    }
}
