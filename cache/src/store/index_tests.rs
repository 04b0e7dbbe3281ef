//! The sums of the index are those of its entries, whatever happens; and it lists what is meant.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::model::{Blob, Content, Part};

const BOUNDS: Bounds = Bounds { memory: 100, disk: 100, resident: 10, quota: Some(30) };

fn object(key: &str, version: u64, size: usize) -> Arc<Object> {
    let part = Part { version, data: Blob::from(Bytes::from(vec![0; size])) };
    Arc::new(Object {
        key: ObjectKey::parse(key).unwrap(),
        data_type: Arc::from("raw"),
        created_ms: 0,
        base_version: version,
        content: Content::Opaque(vec![Arc::new(part)]),
    })
}

fn arrival(key: &str, version: u64, size: usize) -> Arrival {
    Arrival { object: object(key, version, size), file: None, recorded: None, is_written_here: true }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Leave(u8),
    Touch(u8),
    Remove(u8),
    Reserve(u8),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, 0..40_u8).prop_map(|(key, size)| Step::Put(key, size)),
        (0..4_u8).prop_map(Step::Leave),
        (0..4_u8).prop_map(Step::Touch),
        (0..4_u8).prop_map(Step::Remove),
        (0..60_u8).prop_map(Step::Reserve),
        Just(Step::Release),
    ]
}

proptest! {
    #[test]
    fn the_sums_are_those_of_the_entries(steps in proptest::collection::vec(step(), 1..60)) {
        let index = Index::new(BOUNDS);
        let mut reservations = Vec::new();
        for (version, step) in (1..).zip(steps) {
            let named = |at: u8| key(&format!("a{}/s/o{at}", at % 2));
            match step {
                Step::Put(at, size) => {
                    index.put(arrival(named(at).as_str(), version, size.into()));
                }
                Step::Leave(at) => {
                    let version = index.peek(&named(at)).map_or(0, |entry| entry.info.version);
                    index.change(&named(at), version, |entry| entry.object = None);
                }
                Step::Touch(at) => drop(index.touch(&named(at))),
                Step::Remove(at) => drop(index.remove(&named(at))),
                Step::Reserve(bytes) => reservations.extend(index.try_reserve(bytes.into())),
                Step::Release => drop(reservations.pop()),
            }
            let inner = index.lock();
            let resident: Vec<_> = inner.entries.values().filter(|entry| entry.object.is_some()).collect();
            prop_assert_eq!(inner.held.memory, resident.iter().map(|entry| entry.info.size).sum::<u64>());
            prop_assert_eq!(inner.held.resident, resident.len() as u64);
            prop_assert_eq!(inner.used.len(), resident.len());
            prop_assert!(inner.used.iter().all(|(at, key)| inner.entries[key].touched == *at));
            prop_assert_eq!(inner.held.objects, inner.entries.len() as u64);
            prop_assert_eq!(inner.held.reserved, reservations.iter().map(Reservation::bytes).sum::<u64>());
            for app in ["a0", "a1"] {
                let sum: u64 = resident.iter().filter(|e| e.info.key.app() == app).map(|e| e.info.size).sum();
                prop_assert_eq!(inner.apps.get(app).copied().unwrap_or_default(), sum);
            }
        }
    }
}

#[test]
fn who_was_not_used_for_longest_is_the_coldest() {
    let index = Index::new(BOUNDS);
    for name in ["a/s/1", "a/s/2", "a/s/3"] {
        index.put(arrival(name, 1, 1));
    }
    assert!(index.touch(&key("a/s/1")).is_some());
    assert_eq!(index.coldest(2), [key("a/s/2"), key("a/s/3")]);
}

#[test]
fn limits_are_named() {
    let index = Index::new(BOUNDS);
    assert!(index.try_reserve(101).is_none());
    let held = index.try_reserve(60).unwrap();
    assert!(index.try_reserve(41).is_none());
    drop(held);
    assert!(index.try_reserve(41).is_some());
    index.put(arrival("a/s/1", 1, 20));
    index.admit(&key("a/s/1"), 30).unwrap();
    assert!(index.admit(&key("a/s/2"), 11).unwrap_err().to_string().contains("cache.quota"));
    index.admit(&key("b/s/2"), 11).unwrap();
    for at in 0..9 {
        index.put(arrival(&format!("b/s/{at}"), 1, 1));
    }
    assert_eq!(index.held().resident, 10);
    assert!(index.try_reserve(1).is_none(), "as many objects as there may be");
    index.remove(&key("b/s/8"));
    assert!(index.try_reserve(1).is_some());
    assert!(index.admit_to_disk(101).unwrap_err().to_string().contains("cache.disk_max"));
}

#[test]
fn what_is_meant_is_listed_in_pages() {
    let index = Index::new(BOUNDS);
    for name in ["a/s/1", "a/s/2", "a/s2/1", "a-b/s/1", "b/s/1"] {
        index.put(arrival(name, 1, 1));
    }
    let listed = |target: Option<&str>, after: &str, count| {
        let target = target.map(|target| ObjectTarget::parse(target).unwrap());
        index.keys(target.as_ref(), after, count).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some("a/s"), "", 9), ["a/s/1", "a/s/2"]);
    assert_eq!(listed(Some("a/s"), "a/s/1", 9), ["a/s/2"]);
    assert_eq!(listed(Some("a/*"), "", 9), ["a/s/1", "a/s/2", "a/s2/1"]);
    assert_eq!(listed(Some("a/*"), "z", 9), [""; 0]);
    assert_eq!(listed(Some("b/s/1"), "", 9), ["b/s/1"]);
    assert_eq!(listed(None, "", 2), ["a-b/s/1", "a/s/1"]);
    assert_eq!(listed(None, "a/s2/1", 9), ["b/s/1"]);
}
