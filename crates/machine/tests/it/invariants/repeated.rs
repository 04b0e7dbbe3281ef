//! A repeated (client, sequence) gets the reply it got, and does nothing.

use std::collections::BTreeMap;

use flame_machine::{Batch, Item, Refusal, Reply};
use flame_types::ClientId;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

/// Refusals that decide nothing about the command: its number may be sent again.
fn undecided(reply: &Reply) -> bool {
    match reply {
        Reply::Refused(Refusal::Limit { name, .. }) => name == "client_window_max",
        Reply::Refused(refusal) => matches!(
            refusal,
            Refusal::OutOfOrder { .. } | Refusal::Stale(_) | Refusal::SessionExpired(_) | Refusal::SequenceReused(_)
        ),
        _ => false,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_repeated_command_gets_its_reply(steps in steps(), which in any::<usize>()) {
        let mut answered: BTreeMap<_, (Item, Reply)> = BTreeMap::new();
        run(&steps, &mut |world, batch| {
            let items = batch.items.clone();
            let wall_ms = batch.wall_ms;
            let applied = world.apply_batch(batch);
            for (item, (client, seq, reply)) in items.into_iter().zip(applied.replies) {
                if client == ClientId::NONE || undecided(&reply) {
                    continue;
                }
                let known = answered.entry((client, seq)).or_insert_with(|| (item, reply.clone()));
                prop_assert_eq!(&known.1, &reply, "client {} sequence {}", client, seq);
            }
            // One of those still in its window, sent again as it was.
            let in_window = answered.iter().filter(|((client, seq), _)| {
                world.state.clients().get(client).is_some_and(|client| *seq >= client.row.below)
            });
            let in_window: Vec<_> = in_window.map(|(_, (item, reply))| (item.clone(), reply.clone())).collect();
            if let Some((item, reply)) = in_window.get(which % in_window.len().max(1)) {
                let before = world.state.rows();
                let mut item = item.clone();
                item.below = flame_types::Seq(0);
                let again = Batch { wall_ms, cluster_delta_ms: 0, items: vec![item] };
                let applied = world.apply_batch(again);
                prop_assert_eq!(&applied.replies[0].2, reply);
                prop_assert!(applied.events.is_empty() && applied.effects.is_empty());
                prop_assert_eq!(world.state.rows(), before);
            }
            Ok(())
        })?;
    }
}
