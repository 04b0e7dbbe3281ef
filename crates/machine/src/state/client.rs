//! A client: a sender of numbered commands, and the replies kept for it.

use std::collections::BTreeMap;

use flame_types::{ClientId, CoordinatorId, Seq};
use serde::{Deserialize, Serialize};

use crate::reply::Reply;
use crate::row::Row;

/// A client as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// Its id.
    pub id: ClientId,
    /// What it registered with: registering twice gives the same id.
    pub nonce: u128,
    /// The coordinator it is the gateway of. Such a client ends when its node registers again, never by time.
    pub gateway: Option<CoordinatorId>,
    /// The number of its last command that was applied.
    pub last: Seq,
    /// It needs no reply below this number.
    pub below: Seq,
}

/// The reply to a command, and a check that the number means the same command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeptReply {
    /// Fingerprint of the command.
    pub hash: u32,
    /// What was answered.
    pub reply: Reply,
}

/// Replies to consecutive commands that came in one entry; the first number is in the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepliesRow {
    /// The replies.
    pub replies: Vec<KeptReply>,
}

/// A client in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What lies on disk.
    pub row: ClientRow,
    /// Kept replies in the chunks in which they lie on disk, by the first number of each.
    pub window: BTreeMap<Seq, RepliesRow>,
}

impl Client {
    /// The reply kept for `seq`, if it is still there.
    #[must_use]
    pub fn kept(&self, seq: Seq) -> Option<&KeptReply> {
        let (first, chunk) = self.window.range(..=seq).next_back()?;
        chunk.replies.get(usize::try_from(seq.0 - first.0).ok()?)
    }

    /// The first of the replies that were kept last.
    #[must_use]
    pub fn newest(&self) -> Option<Seq> {
        self.window.last_key_value().map(|(first, _)| *first)
    }

    /// As it lies on disk, with the replies that were kept last.
    #[must_use]
    pub(crate) fn to_row(&self) -> Row {
        let newest = self.window.last_key_value().map(|(first, replies)| (*first, replies.clone()));
        Row::Client(self.row.clone(), newest)
    }

    /// Commands whose replies the client may still ask for.
    #[must_use]
    pub fn in_window(&self) -> u64 {
        (self.row.last.0 + 1).saturating_sub(self.row.below.0)
    }
}
