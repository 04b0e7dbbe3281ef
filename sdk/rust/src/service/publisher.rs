//! What an executor says about itself: keys that tasks may ask for (their affinity).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flame_types::limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_KEYS_MAX};

use crate::FlameError;

/// Collects keys to publish and to retract until the next answer takes them along. Of a key that is both, the later word
/// counts.
#[derive(Debug, Default)]
pub struct Publisher {
    pending: Mutex<Pending>,
}

#[derive(Clone, Debug, Default)]
struct Pending {
    publish: BTreeSet<Bytes>,
    retract: BTreeSet<Bytes>,
}

impl Publisher {
    /// The executor holds these keys from now on.
    ///
    /// ```
    /// use flame_sdk::service::Publisher;
    ///
    /// let publisher = Publisher::default();
    /// publisher.publish(["model-7b", "tokenizer"])?;
    /// publisher.retract(["tokenizer"])?;
    /// # Ok::<(), flame_sdk::FlameError>(())
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] for a key of a wrong length, [`FlameError::ResourceExhausted`] when more keys
    /// would wait than one answer can carry. Nothing is published then.
    pub fn publish<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), FlameError> {
        self.change(keys, |pending, key| {
            pending.retract.remove(&key);
            pending.publish.insert(key);
        })
    }

    /// The executor does not hold these keys any more.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn retract<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), FlameError> {
        self.change(keys, |pending, key| {
            pending.publish.remove(&key);
            pending.retract.insert(key);
        })
    }

    /// What has piled up, as keys to publish and keys to retract. The next answer begins with nothing.
    pub(super) fn take(&self) -> (Vec<Bytes>, Vec<Bytes>) {
        let mut pending = self.lock();
        if pending.publish.is_empty() && pending.retract.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let Pending { publish, retract } = std::mem::take(&mut *pending);
        (publish.into_iter().collect(), retract.into_iter().collect())
    }

    fn change<K: Into<Bytes>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        apply: impl Fn(&mut Pending, Bytes),
    ) -> Result<(), FlameError> {
        let mut pending = self.lock();
        let mut changed = pending.clone();
        for key in keys {
            let key = key.into();
            if key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX {
                let length = key.len();
                return Err(FlameError::InvalidArgument(format!(
                    "the key has {length} bytes, 1 to {ATTRIBUTE_KEY_BYTES_MAX} are allowed"
                )));
            }
            apply(&mut changed, key);
        }
        for keys in [&changed.publish, &changed.retract] {
            let bytes: usize = keys.iter().map(Bytes::len).sum();
            if keys.len() > ATTRIBUTE_KEYS_MAX || bytes > ATTRIBUTE_BYTES_MAX {
                return Err(FlameError::ResourceExhausted(format!(
                    "one answer carries at most {ATTRIBUTE_KEYS_MAX} keys of {ATTRIBUTE_BYTES_MAX} bytes together in \
                     one direction"
                )));
            }
        }
        *pending = changed;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A change is made on a copy and put in place whole, so a panic elsewhere does not spoil it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&'static str]) -> Vec<Bytes> {
        keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect()
    }

    #[test]
    fn the_later_word_counts() {
        let publisher = Publisher::default();
        publisher.publish(["a", "b"]).unwrap();
        publisher.retract(["b", "c"]).unwrap();
        publisher.publish(["c"]).unwrap();
        assert_eq!(publisher.take(), (keys(&["a", "c"]), keys(&["b"])));
        assert_eq!(publisher.take(), (vec![], vec![]), "it is said once");
    }

    #[test]
    fn what_no_answer_could_carry_is_refused_and_changes_nothing() {
        let publisher = Publisher::default();
        publisher.publish(["a"]).unwrap();
        assert_eq!(publisher.publish(["b", ""]).unwrap_err().class(), "invalid_argument");
        assert_eq!(publisher.publish([vec![0; 257]]).unwrap_err().class(), "invalid_argument");
        let many = (0..1024).map(|number| number.to_string());
        assert_eq!(publisher.publish(many).unwrap_err().class(), "resource_exhausted");
        assert_eq!(publisher.take(), (keys(&["a"]), vec![]));
    }
}
