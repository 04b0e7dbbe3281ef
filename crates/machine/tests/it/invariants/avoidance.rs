//! A worker that is avoided gets no executor from those who avoid it, one on trial gets one at a time, and no while is
//! endless.

use flame_machine::state::Trust;
use flame_machine::{Command, Order, Reply, State};
use proptest::prelude::*;

use crate::generate::{AVOIDED_MS_MAX, config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn avoided_workers_get_nothing(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let alone = batch.items.len() == 1 && batch.cluster_delta_ms == 0;
            let placed = batch.items.first().map(|item| item.command.clone()).filter(|_| alone);
            let before = world.clone();
            let applied = world.apply_batch(batch);
            let accepted = !matches!(applied.replies.first(), Some((_, _, Reply::Refused(_))));
            if let Some(Command::Place { node, session, count, .. }) = placed.filter(|_| accepted) {
                let (node, asker) = (&before.state.nodes()[&node], before.state.sessions()[&session].asker());
                let trust = node.trust(asker, before.state.now());
                prop_assert!(trust != Trust::Avoided, "{:?}", node);
                prop_assert!(trust != Trust::Trial || (count == 1 && !before.state.has_probe(node)), "{:?}", node);
                let after = &world.state.nodes()[&node.row.name];
                prop_assert!(trust != Trust::Trial || world.state.has_probe(after), "{:?}", after);
            }
            // Executors that change their session in apply do not go where their new session had no luck, either.
            for effect in applied.effects.iter().filter(|_| alone) {
                let Order::Start { executor, session, .. } = effect.order else { continue };
                let Some(known) = before.state.executors().get(&executor) else { continue };
                if known.row.session != session {
                    let asker = world.state.sessions()[&session].asker();
                    let is_avoided = |state: &State| {
                        state.nodes()[&effect.node].trust(asker, state.now()) == Trust::Avoided
                    };
                    // An executor that has just entered a session there may have cleared it.
                    let avoided = is_avoided(&before.state) && is_avoided(&world.state);
                    prop_assert!(!avoided, "executor {} was handed over on {}", executor, effect.node);
                }
            }
            for node in world.state.nodes().values() {
                let ahead = node.row.avoidance.until.since(world.state.now());
                prop_assert!(ahead <= AVOIDED_MS_MAX, "{:?}", node);
                prop_assert!(node.row.avoidance.periods == 0 || node.row.bind_failures > 0, "{:?}", node);
            }
            Ok(())
        })?;
    }
}
