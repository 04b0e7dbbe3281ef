//! Tokens strictly grow: none is ever given to two assignments.

use std::collections::BTreeMap;

use flame_machine::command::{Inputs, Submit};
use flame_machine::{Batch, Command, Item, Order, State, invariants};
use flame_types::{ClientId, Seq, TaskOptions, Token};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

/// The token that an entry has for a task that was given out before: what became due with the entry drew later ones.
fn given_out(batch: &Batch) -> Option<Token> {
    match &batch.items.first()?.command {
        Command::Lone { ahead, .. } => ahead.map(|ahead| ahead.token),
        _ => None,
    }
}

/// Submits of one task each, as a leader may look ahead for.
fn lone_submits(state: &State, key: [u8; 16]) -> Vec<Submit> {
    let ids = state.sessions().values().map(|session| session.asked.id.clone());
    let submit = |session| Submit {
        session,
        inputs: Inputs::Each(vec![None]),
        options: TaskOptions::default(),
        idempotency_key: Some(key),
    };
    ids.map(submit).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_token_means_one_assignment_for_ever(steps in steps()) {
        let mut meant = BTreeMap::new();
        run(&steps, &mut |world, batch| {
            let before = world.state.cluster().next_token;
            let given_out = given_out(&batch);
            let applied = world.apply_batch(batch);
            invariants::tokens(&world.state).map_err(TestCaseError::fail)?;
            prop_assert!(world.state.cluster().next_token >= before);
            for effect in applied.effects {
                let Order::Assign { executor, session, task, attempt, token, .. } = effect.order else { continue };
                let meaning = (executor, session, task, attempt);
                let highest = meant.last_key_value().map_or(Token(0), |(token, _)| *token);
                match meant.get(&token) {
                    Some(known) => prop_assert_eq!(known, &meaning, "token {} was given out again", token),
                    None => prop_assert!(token > highest || Some(token) == given_out, "token {} came after {}", token, highest),
                }
                meant.insert(token, meaning);
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_a_leader_foresees_is_what_the_entry_does(steps in steps()) {
        run(&steps, &mut |world, mut batch| {
            let key = u128::from(world.index.0).to_be_bytes();
            let foreseen = lone_submits(&world.state, key)
                .into_iter()
                .find_map(|submit| world.state.foresee(&submit).map(|foreseen| (submit, foreseen)));
            let Some((submit, foreseen)) = foreseen else {
                world.apply_batch(batch);
                return Ok(());
            };
            let command = Command::Lone { submit: Box::new(submit), ahead: Some(foreseen.ahead) };
            batch.items.insert(0, Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command });
            let nothing_due = batch.cluster_delta_ms == 0;
            let applied = world.apply_batch(batch);
            invariants::tokens(&world.state).map_err(TestCaseError::fail)?;
            let mut made = applied.effects.iter().filter(|effect| {
                matches!(effect.order, Order::Assign { token, .. } if token == foreseen.ahead.token)
            });
            match made.next() {
                Some(effect) => {
                    prop_assert_eq!(&effect.order, &foreseen.order);
                    prop_assert_eq!((&effect.node, effect.epoch), (&foreseen.node, foreseen.epoch));
                    // A Hello in the same entry has it sent again, under the next lease.
                    prop_assert!(made.all(|again| again.order == foreseen.order && again.epoch > foreseen.epoch));
                }
                None => prop_assert!(!nothing_due, "{:?} was not made", foreseen),
            }
            prop_assert!(world.state.cluster().next_token > foreseen.ahead.token);
            Ok(())
        })?;
    }
}
