//! Digests and fingerprints: the same everywhere and for ever, and different for what differs.

use std::collections::BTreeSet;

use flame_machine::command::{Inputs, Submit};
use flame_machine::{ClusterConfig, Command, State, digest};
use flame_types::{Payload, SessionId, TaskOptions};

fn submit(input: Vec<u8>) -> Submit {
    Submit {
        session: SessionId::parse("s").unwrap(),
        inputs: Inputs::Each(vec![Some(Payload::from(input))]),
        options: TaskOptions::default(),
        idempotency_key: None,
    }
}

fn fingerprint(input: Vec<u8>) -> u32 {
    digest::fingerprint(&Command::Submit(Box::new(submit(input))))
}

#[test]
fn the_digest_of_an_empty_state_never_changes() {
    // A change here means that nodes of two builds cannot be compared: gate it by a feature level.
    assert_eq!(format!("{:032x}", digest::digest(&State::new())), "88c91f9f9c431d06c4bf5c22b5710e5c");
}

/// Replies that are kept name their commands by it, and they outlive a release.
#[test]
fn the_fingerprint_of_a_command_never_changes() {
    let submit = fingerprint(b"0123456789".to_vec());
    let config = digest::fingerprint(&Command::SetConfig(Box::default()));
    assert_eq!((submit, config), (3_684_327_267, 3_139_888_686));
}

#[test]
fn small_differences_spread() {
    let mut seen = BTreeSet::new();
    for length in 0..64usize {
        for bit in 0..length * 8 {
            let mut input = vec![0u8; length];
            input[bit / 8] |= 1 << (bit % 8);
            assert!(seen.insert(fingerprint(input)), "fingerprints collide at {length} bytes, bit {bit}");
        }
    }
}

#[test]
fn the_bytes_of_a_payload_and_their_number_count() {
    assert_eq!(fingerprint(b"a".to_vec()), fingerprint(b"a".to_vec()));
    assert_ne!(fingerprint(b"a".to_vec()), fingerprint(b"b".to_vec()));
    assert_ne!(fingerprint(vec![]), fingerprint(vec![0]));
    assert_ne!(fingerprint(vec![0; 7]), fingerprint(vec![0; 8]));
}

#[test]
fn every_field_counts() {
    let changed = ClusterConfig { prefetch_max: 1, ..ClusterConfig::default() };
    let one = Command::SetConfig(Box::default());
    let other = Command::SetConfig(Box::new(changed));
    assert_ne!(digest::fingerprint(&one), digest::fingerprint(&other));
}

/// A repeated submit is known by what it asks for, not by how it is addressed.
#[test]
fn a_submit_is_known_by_what_it_asks_for() {
    let one = digest::fingerprint_submit(&submit(b"a".to_vec()));
    let renamed = Submit { session: SessionId::parse("t").unwrap(), ..submit(b"a".to_vec()) };
    assert_eq!(digest::fingerprint_submit(&renamed), one);
    let with_key = Submit { idempotency_key: Some([1; 16]), ..submit(b"a".to_vec()) };
    assert_eq!(digest::fingerprint_submit(&with_key), one);
    assert_ne!(digest::fingerprint_submit(&submit(b"b".to_vec())), one);
    let urgent = TaskOptions { priority: 1, ..TaskOptions::default() };
    assert_ne!(digest::fingerprint_submit(&Submit { options: urgent, ..submit(b"a".to_vec()) }), one);
}
