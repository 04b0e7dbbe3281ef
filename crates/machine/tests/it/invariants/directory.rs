//! Every place of an object is a cache node that knows of it; a version never goes back; what belongs to a session that
//! was deleted, or to an application that was unregistered, is deleted with it.

use std::collections::{BTreeMap, BTreeSet};

use flame_machine::{State, invariants, view};
use flame_types::{ObjectKey, ObjectPrefix, ObjectTarget, ObjectVersion};
use proptest::prelude::*;

use crate::generate::{config, run, steps};

/// The versions of all entries, by key and number.
fn versions(state: &State) -> BTreeMap<(ObjectKey, u64), ObjectVersion> {
    let entries = state.directory().entries().iter();
    entries.map(|(key, row)| ((key.clone(), row.number), row.version)).collect()
}

/// Where the objects of closed sessions and of applications lie.
fn places(state: &State) -> BTreeSet<ObjectTarget> {
    let closed = state.closed().values();
    let sessions = closed.filter_map(|row| ObjectPrefix::of_session(row.spec.application.as_str(), &row.id));
    let apps = state.apps().keys().map(|app| ObjectTarget::parse(&format!("{app}/*")).unwrap());
    sessions.map(ObjectTarget::Session).chain(apps).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_directory_is_true(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let before = versions(&world.state);
            let next = world.state.cluster().next_object;
            let were = places(&world.state);
            world.apply_batch(batch);
            invariants::directory(&world.state).map_err(TestCaseError::fail)?;
            for (key, version) in versions(&world.state) {
                let earlier = before.get(&key);
                prop_assert!(earlier.is_none_or(|earlier| *earlier <= version), "{:?} was at {:?}", key, earlier);
            }
            let are = places(&world.state);
            // A session or application that is back has what was put under its name since.
            for gone in were.difference(&are) {
                let id = match gone {
                    ObjectTarget::Session(prefix) => world.state.find_session(prefix.session()).is_some(),
                    _ => false,
                };
                let left = view::objects(&world.state, Some(gone), None, usize::MAX).0;
                let old = left.iter().find(|object| world.state.directory().entries()[&object.key].number < next);
                prop_assert!(id || old.is_none(), "{} is gone, and {:?} is there", gone, old);
            }
            Ok(())
        })?;
    }
}
