//! What comes back to the sender of a command. Replies are kept in the client's window, so they are compact: no
//! payloads, no lists. The rest is read from the state of the node that gives the answer.

use flame_types::{ClientId, Epoch, ErrorCode, SessionKey, TaskNo};
use serde::{Deserialize, Serialize};

use crate::refusal::{ObjectRefusal, Refusal};

/// Answer to one command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// Done; there is nothing to say.
    Done,
    /// Not done: nothing changed but the sender's own window.
    Refused(Refusal),
    /// The session, and whether this command made it.
    Session { key: SessionKey, created: bool },
    /// The tasks `first .. first + count` of a session.
    Submitted { session: SessionKey, first: TaskNo, count: u64 },
    /// The id of a registered client.
    Client(ClientId),
    /// A worker is attached under this lease epoch.
    Attached { epoch: Epoch },
    /// What a cache node reported is in the directory, but for these of the objects that it has, by their places in the
    /// report.
    Objects { refused: Vec<(u32, ObjectRefusal)> },
}

impl Reply {
    /// The class of a refusal, `None` for anything else.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code()),
            _ => None,
        }
    }
}
