//! Results that wait to be recorded.
//!
//! Their number of bytes is bounded by a gate that executors look at before they begin a task: beyond the bound nothing
//! is begun, while frames, `Recorded` among them, are still read.

use std::collections::BTreeMap;

use flame_proto::ha;
use flame_types::Token;
use tokio::sync::watch;

/// Bytes that a result costs beside its output and message.
const OVERHEAD_BYTES: usize = 256;

/// Results that wait to be recorded, by token: of one executor, in the order in which it worked.
#[derive(Debug)]
pub(crate) struct Held {
    results: BTreeMap<Token, ha::Completion>,
    bytes: usize,
    bytes_max: usize,
    gate: watch::Sender<bool>,
}

impl Held {
    /// None yet, at most `bytes_max` (and what is begun already) at a time.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { results: BTreeMap::new(), bytes: 0, bytes_max, gate: watch::Sender::new(true) }
    }

    /// Whether tasks may begin.
    pub(crate) fn gate(&self) -> watch::Receiver<bool> {
        self.gate.subscribe()
    }

    /// Holds a result.
    pub(crate) fn insert(&mut self, completion: ha::Completion) {
        self.bytes += cost(&completion);
        if let Some(before) = self.results.insert(Token(completion.token), completion) {
            self.bytes -= cost(&before);
        }
        self.set_gate();
    }

    /// Lets a result go that is recorded, or of no use.
    pub(crate) fn remove(&mut self, token: Token) {
        if let Some(completion) = self.results.remove(&token) {
            self.bytes -= cost(&completion);
            self.set_gate();
        }
    }

    /// A result. Its output is shared, not copied.
    pub(crate) fn get(&self, token: Token) -> Option<&ha::Completion> {
        self.results.get(&token)
    }

    /// The tokens of all results, smallest first.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.results.keys().copied()
    }

    /// How many results there are.
    pub(crate) fn len(&self) -> usize {
        self.results.len()
    }

    /// What they count together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    fn set_gate(&self) {
        let open = self.bytes < self.bytes_max;
        self.gate.send_if_modified(|gate| {
            let changed = *gate != open;
            if changed && !open {
                tracing::warn!(bytes = self.bytes, "too many results wait to be recorded; no task is begun meanwhile");
            }
            *gate = open;
            changed
        });
    }
}

/// What a result counts.
pub(crate) fn cost(completion: &ha::Completion) -> usize {
    let output = completion.output.as_ref().map_or(0, bytes::Bytes::len);
    let message = completion.message.as_ref().map_or(0, String::len);
    let attributes = completion
        .attributes
        .as_ref()
        .map_or(0, |attributes| attributes.publish.iter().chain(&attributes.retract).map(bytes::Bytes::len).sum());
    OVERHEAD_BYTES + output + message + attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(token: u64, bytes: usize) -> ha::Completion {
        ha::Completion { token, output: Some(vec![0; bytes].into()), ..ha::Completion::default() }
    }

    #[test]
    fn the_gate_closes_and_opens_with_the_bytes() {
        let mut held = Held::new(3000);
        let gate = held.gate();
        held.insert(result(1, 1000));
        assert!(*gate.borrow());
        held.insert(result(2, 2000));
        assert!(!*gate.borrow(), "two results are more than fit");
        held.remove(Token(9));
        assert!(!*gate.borrow());
        held.remove(Token(1));
        assert!(*gate.borrow());
        held.remove(Token(2));
        assert!(held.is_empty() && held.bytes == 0);
    }

    #[test]
    fn a_result_held_twice_counts_once() {
        let mut held = Held::new(3000);
        held.insert(result(1, 1000));
        held.insert(result(1, 500));
        held.remove(Token(1));
        assert_eq!(held.bytes, 0);
    }
}
