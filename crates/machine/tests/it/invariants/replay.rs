//! A snapshot and the entries after it lead where all entries lead.

use flame_machine::{Ctx, State, digest, invariants};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn snapshot_and_replay_is_replay(steps in steps(), at in any::<prop::sample::Index>()) {
        let mut entries = Vec::new();
        let world = run(&steps, &mut |world, batch| {
            let ctx = Ctx { index: world.index, term: world.term };
            entries.push((ctx, batch.clone()));
            world.apply_batch(batch);
            Ok(())
        })?;

        let cut = at.index(entries.len());
        let mut early = State::new();
        for (ctx, batch) in &entries[..cut] {
            early.apply(*ctx, batch.clone());
        }
        let mut late = State::load(early.rows()).expect("rows of a state");
        for (ctx, batch) in &entries[cut..] {
            let expected = early.apply(*ctx, batch.clone());
            let applied = late.apply(*ctx, batch.clone());
            prop_assert_eq!(applied, expected);
        }
        prop_assert!(late == world.state, "{}", invariants::difference(&late, &world.state));
        prop_assert_eq!(digest::digest(&late), digest::digest(&world.state));
    }
}
