//! What is shown under names of its own.

use std::collections::BTreeSet;

use flame_machine::view::executor_uuid;
use flame_types::ExecutorKey;

#[test]
fn ids_of_executors_look_like_uuids_and_differ() {
    let ids: BTreeSet<String> = (0..10_000).map(|key| executor_uuid(ExecutorKey(key))).collect();
    assert_eq!(ids.len(), 10_000);
    for id in ids {
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "8", "version of {id}");
        assert!("89ab".contains(&id[19..20]), "variant of {id}");
    }
}
