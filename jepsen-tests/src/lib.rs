//! The outside checker. It believes three witnesses and nobody else: what clients were told, what every node shows
//! through its API, and what the services wrote down themselves.
//!
//! The promise under test: *execution is at least once, recording is exactly once, and nothing acknowledged is ever
//! lost*; and of a leader change alone: *nothing runs twice*.
//!
//! **Invariant:** the checker is pure. It reads a [`History`] and gives a [`Verdict`]; who collected the history, and
//! how, is not its business.
//! **Invariant:** a history that proves nothing is [`Judgement::Inconclusive`], and that never passes.
//!
//! | module | holds |
//! |---|---|
//! | [`history`] | what the three witnesses say |
//! | [`execution_log`] | reading the service's own log |
//! | [`check`] | the checker |
//! | [`verdict`] | what it found |
//!
//! `tests/it` has a corpus of bad histories that must be rejected, one for each kind of wrong, and good ones that must
//! pass. Start with [`check::check`].

pub mod check;
pub mod execution_log;
pub mod history;
pub mod verdict;

pub use check::check;
pub use history::{Acknowledgement, Completion, Execution, History, NodeView, Nonce, ObservedTask, ToldResult};
pub use verdict::{Finding, Judgement, Verdict};
