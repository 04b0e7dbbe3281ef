//! A session id, once used, is not used again before it is deleted or has expired, and keys are never used twice.

use std::collections::BTreeMap;

use flame_machine::{Event, Reply, invariants};
use flame_types::{SessionId, SessionKey};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ids_are_not_reused_while_they_are_remembered(steps in steps()) {
        let mut used: BTreeMap<SessionId, SessionKey> = BTreeMap::new();
        let mut highest = SessionKey(0);
        run(&steps, &mut |world, batch| {
            let applied = world.apply_batch(batch);
            invariants::ids(&world.state).map_err(TestCaseError::fail)?;
            for event in &applied.events {
                if let Event::SessionGone { session } = event {
                    used.retain(|_, key| key != session);
                }
            }
            for (_, _, reply) in &applied.replies {
                if let Reply::Session { key, created: true } = reply
                    && *key > highest
                {
                    highest = *key;
                }
            }
            let live = world.state.sessions().values().map(|session| (&session.asked.id, session.key));
            let closed = world.state.closed().values().map(|row| (&row.id, row.key));
            for (id, key) in live.chain(closed) {
                prop_assert!(key <= highest, "session {} was made without a reply", key);
                let known = *used.entry(id.clone()).or_insert(key);
                prop_assert_eq!(known, key, "the id {} leads to another session", id);
            }
            Ok(())
        })?;
    }
}
