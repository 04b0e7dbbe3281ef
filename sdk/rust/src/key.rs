//! Keys that make a submit repeatable.
//!
//! The coordinators remember the key of every submit with its session: the same key again gives the task that is there
//! already. Their memory is bounded, so a repeat that comes too late would make a second task. How late is counted in
//! submits, not in seconds: only newer submits push a key out.
//!
//! **Invariant:** a key belongs to one logical submit: all its attempts carry it, no other submit ever does.
//! **Invariant:** a key is not sent again once it may have been forgotten.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use tonic::Request;
use tonic::metadata::MetadataValue;

/// The metadata of CreateTask that carries the key.
const METADATA: &str = "flame-idempotency-key-bin";

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// Submits of this process after which a key counts as forgotten. A coordinator remembers twice as many of each session
/// (65,536): the other half is for whoever else submits to the same session meanwhile.
const SUBMITS_REMEMBERED: u64 = 32_768;

/// The key of one submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    bytes: [u8; KEY_BYTES],
    /// How many keys had been drawn before.
    drawn_after: u64,
}

impl IdempotencyKey {
    /// The same place in the order of keys, with bytes that the caller has chosen.
    pub(crate) fn with_bytes(self, bytes: [u8; KEY_BYTES]) -> Self {
        Self { bytes, ..self }
    }

    /// A request that carries the key.
    pub(crate) fn attach<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert_bin(METADATA, MetadataValue::from_bytes(&self.bytes));
        request
    }
}

/// Draws keys, and knows which ones are too old.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    drawn: AtomicU64,
}

impl Keys {
    /// A key that nobody else has.
    pub(crate) fn draw(&self) -> IdempotencyKey {
        IdempotencyKey { bytes: rand::rng().random(), drawn_after: self.drawn.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether the coordinators certainly still know a submit with this key, as far as this process can tell.
    pub(crate) fn remembered(&self, key: IdempotencyKey) -> bool {
        self.drawn.load(Ordering::Relaxed) - key.drawn_after <= SUBMITS_REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_submit_has_a_key_of_its_own() {
        let keys = Keys::default();
        let (one, other) = (keys.draw(), keys.draw());
        assert_ne!(one.bytes, other.bytes);
        let sent = |key: IdempotencyKey| key.attach(()).metadata().get_bin(METADATA).unwrap().to_bytes().unwrap();
        assert_eq!(sent(one), sent(one), "all attempts carry the same");
        assert_eq!(sent(one).len(), KEY_BYTES);
    }

    #[test]
    fn a_key_is_given_up_before_it_is_forgotten() {
        let keys = Keys::default();
        let key = keys.draw();
        for _ in 1..SUBMITS_REMEMBERED {
            keys.draw();
        }
        assert!(keys.remembered(key));
        keys.draw();
        assert!(!keys.remembered(key));
        assert!(keys.remembered(keys.draw()));
    }
}
