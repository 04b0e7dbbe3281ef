//! Tokens strictly grow: none is ever given to two assignments.

use std::collections::BTreeMap;

use flame_machine::{Order, invariants};
use flame_types::Token;
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_token_means_one_assignment_for_ever(steps in steps()) {
        let mut meant = BTreeMap::new();
        run(&steps, &mut |world, batch| {
            let before = world.state.cluster().next_token;
            let applied = world.apply_batch(batch);
            invariants::tokens(&world.state).map_err(TestCaseError::fail)?;
            prop_assert!(world.state.cluster().next_token >= before);
            for effect in applied.effects {
                let Order::Assign { executor, session, task, attempt, token, .. } = effect.order else { continue };
                let meaning = (executor, session, task, attempt);
                let highest = meant.last_key_value().map_or(Token(0), |(token, _)| *token);
                match meant.get(&token) {
                    Some(known) => prop_assert_eq!(known, &meaning, "token {} was given out again", token),
                    None => prop_assert!(token > highest, "token {} came after {}", token, highest),
                }
                meant.insert(token, meaning);
            }
            Ok(())
        })?;
    }
}
