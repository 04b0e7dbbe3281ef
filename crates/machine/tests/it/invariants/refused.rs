//! A refused command changes nothing but its client's window, and what is remembered of its request id.

use flame_machine::{Batch, Reply, RowChange, Table};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::world::World;

/// What remembers answers.
fn is_memory(table: Table) -> bool {
    matches!(table, Table::Client | Table::Replies | Table::Request)
}

/// Everything but that.
fn without_memory(world: &World) -> Vec<(flame_machine::RowKey, flame_machine::Row)> {
    world.state.rows().into_iter().filter(|(key, _)| !is_memory(key.table())).collect()
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
                let before = without_memory(world);
                let single = Batch { wall_ms: batch.wall_ms, cluster_delta_ms: 0, items: vec![item.clone()] };
                let applied = world.apply_batch(single);
                let (_, _, reply) = &applied.replies[0];
                if !matches!(reply, Reply::Refused(_)) {
                    continue;
                }
                prop_assert_eq!(&without_memory(world), &before, "{:?}: {:?}", item, reply);
                prop_assert!(applied.events.is_empty() && applied.effects.is_empty() && !applied.placement_dirty);
                for change in applied.rows {
                    let (RowChange::Put(key, _) | RowChange::Delete(key) | RowChange::DeleteRange(key, _)) = change;
                    prop_assert!(is_memory(key.table()), "{:?} was written", key);
                }
            }
            Ok(())
        })?;
    }
}
