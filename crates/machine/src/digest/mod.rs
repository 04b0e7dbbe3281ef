//! A digest of the state, and fingerprints of commands.
//!
//! **Invariant:** the same value gives the same digest on every machine, in every process and in every build: the hash
//! is our own, and values reach it through serde in the order of their fields. So two nodes with the same applied index
//! can be compared by 16 bytes.

mod hash;
mod serializer;

use serde::Serialize;

use crate::command::{Command, Inputs, Outcome, Submit};
use crate::row::{Row, RowKey};
use crate::state::State;
use flame_types::Payload;
use hash::Hash128;
use serializer::HashSerializer;

/// The digest of everything live.
#[must_use]
pub fn digest(state: &State) -> u128 {
    let mut rows = RowsDigest::new();
    for (key, row) in state.rows() {
        rows.add(&key, &row);
    }
    rows.finish()
}

/// The same from the live rows as they lie on disk, one after the other in the order of their keys: for those who have
/// rows and no state.
#[derive(Clone, Debug)]
pub struct RowsDigest(Hash128);

impl RowsDigest {
    /// Of no rows yet.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "no rows are not the digest of an empty state, which has one")]
    pub fn new() -> Self {
        Self(Hash128::new())
    }

    /// Takes the next row.
    pub fn add(&mut self, key: &RowKey, row: &Row) {
        self.0.bytes(&key.0);
        feed(&mut self.0, row);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> u128 {
        self.0.finish()
    }
}

/// Four bytes that tell a command from another one sent under the same number.
#[must_use]
pub fn fingerprint(command: &Command) -> u32 {
    let mut hash = Hash128::new();
    match command {
        // The client knows nothing of what the leader has added, and sends it again without that.
        Command::Lone { submit, .. } => feed(&mut hash, &Command::Lone { submit: submit.clone(), ahead: None }),
        command => feed(&mut hash, command),
    }
    match command.what() {
        Command::Create { spec, .. } | Command::Open { spec: Some(spec), .. } => {
            payload(&mut hash, spec.common_data.as_ref());
        }
        Command::Submit(submit) | Command::Lone { submit, .. } => inputs(&mut hash, &submit.inputs),
        Command::Complete { done, .. } => {
            for completion in done {
                match &completion.outcome {
                    Outcome::Succeed { output, .. } | Outcome::Failed { output, .. } => {
                        payload(&mut hash, output.as_ref());
                    }
                }
            }
        }
        _ => {}
    }
    hash.finish() as u32
}

/// The same for what a submit asks for, whatever session id or key it names.
#[must_use]
pub fn fingerprint_submit(submit: &Submit) -> u32 {
    let mut hash = Hash128::new();
    feed(&mut hash, &submit.inputs);
    feed(&mut hash, &submit.options);
    inputs(&mut hash, &submit.inputs);
    hash.finish() as u32
}

fn inputs(hash: &mut Hash128, inputs: &Inputs) {
    match inputs {
        Inputs::Each(each) => each.iter().for_each(|input| payload(hash, input.as_ref())),
        Inputs::Array { input, .. } => payload(hash, input.as_ref()),
    }
}

/// Payloads serialise as nothing, so their bytes are taken in here.
fn payload(hash: &mut Hash128, payload: Option<&Payload>) {
    if let Some(payload) = payload {
        hash.bytes(&payload.0);
    }
}

fn feed<T: Serialize>(hash: &mut Hash128, value: &T) {
    value.serialize(HashSerializer(hash)).expect("our types serialise without custom errors");
}
