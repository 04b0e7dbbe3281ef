//! A refused command changes nothing but its client's window.

use flame_machine::{Batch, Reply, RowChange, Table};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::world::World;

/// Everything but windows.
fn without_windows(world: &World) -> Vec<(flame_machine::RowKey, flame_machine::Row)> {
    let window = |table| matches!(table, Table::Client | Table::Replies);
    world.state.rows().into_iter().filter(|(key, _)| !window(key.table())).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_refusal_leaves_no_trace(steps in steps()) {
        run(&steps, &mut |world, batch| {
            // Time passes by itself; then each command alone.
            let tick = Batch { items: Vec::new(), ..batch.clone() };
            world.apply_batch(tick);
            for item in batch.items {
                let before = without_windows(world);
                let single = Batch { wall_ms: batch.wall_ms, cluster_delta_ms: 0, items: vec![item.clone()] };
                let applied = world.apply_batch(single);
                let (_, _, reply) = &applied.replies[0];
                if !matches!(reply, Reply::Refused(_)) {
                    continue;
                }
                prop_assert_eq!(&without_windows(world), &before, "{:?}: {:?}", item, reply);
                prop_assert!(applied.events.is_empty() && applied.effects.is_empty() && !applied.placement_dirty);
                for change in applied.rows {
                    let (RowChange::Put(key, _) | RowChange::Delete(key) | RowChange::DeleteRange(key, _)) = change;
                    prop_assert!(matches!(key.table(), Table::Client | Table::Replies), "{:?} was written", key);
                }
            }
            Ok(())
        })?;
    }
}
