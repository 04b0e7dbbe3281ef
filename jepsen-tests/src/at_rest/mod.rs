//! The short check: three witnesses, asked once, when everything is at rest.
//!
//! What the clients were told, what every node shows through its API, and what the services wrote down themselves. It
//! needs no recording, so it judges the demo, the crash tests and the live scenarios of `chaos/`; what must hold *while*
//! things happen is judged by [`crate::judge`] from a [`crate::record::Recording`].

pub mod check;
pub mod history;
pub mod verdict;

pub use check::check;
pub use history::{Acknowledgement, Completion, Execution, History, NodeView, Nonce, ObservedTask, ToldResult};
pub use verdict::{Finding, Judgement, Verdict};
