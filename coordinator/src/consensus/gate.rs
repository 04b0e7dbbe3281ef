//! Who may speak to this node, and how it introduces itself.
//!
//! Every stream and every question between coordinators begins with a header: cluster, both ends, and the random id
//! of the sender's store. The first time a peer is heard its store id is written down; from then on only that store
//! is believed. A node whose disk was wiped has another one: its old votes are forgotten, so it must not vote again
//! under the same id.
//!
//! **Invariant:** nothing of a message is looked at before its header was admitted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use flame_proto::ha::PeerHeader;
use flame_storage::{Error as StorageError, Fatal, Identity, PeerMemory};
use flame_types::{CoordinatorId, LogIndex};
use tonic::Status;
use uuid::Uuid;

/// Why a message was refused. Always certain, never worth repeating before somebody has changed a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no header.
    #[error("the message does not say who sends it")]
    NoHeader,
    /// Another cluster.
    #[error("this coordinator belongs to cluster {ours:?}, not to {theirs:?}")]
    OtherCluster {
        /// Of this node.
        ours: String,
        /// Of the sender.
        theirs: String,
    },
    /// Meant for, or sent by, somebody else.
    #[error("the message is for coordinator {meant}, this is {found}")]
    OtherNode {
        /// Whom it names.
        meant: CoordinatorId,
        /// Who is here.
        found: CoordinatorId,
    },
    /// Not a member.
    #[error("coordinator {0} is not a member of this cluster")]
    NotMember(CoordinatorId),
    /// The sender has lost its disk, or was given another one.
    #[error("coordinator {0} has another store than before: its disk was wiped; let it rejoin under a new id")]
    OtherStore(CoordinatorId),
    /// The sender's store id is not one.
    #[error("coordinator {0} sends no usable store id")]
    NoStore(CoordinatorId),
    /// This node could not write down the sender's store id.
    #[error("this coordinator cannot write to its disk")]
    DiskFailed,
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Status::failed_precondition(refused.to_string())
    }
}

/// Checks and writes headers.
pub(super) struct Gate {
    cluster_id: String,
    id: CoordinatorId,
    identity: Arc<Identity>,
    fatal: Fatal,
    /// As listed in the configuration.
    listed: BTreeSet<CoordinatorId>,
    /// As the log says.
    members: Mutex<BTreeSet<CoordinatorId>>,
    /// Store ids that were seen, read from the identity once.
    stores: Mutex<BTreeMap<CoordinatorId, Uuid>>,
}

impl Gate {
    pub(super) fn new(
        cluster_id: String,
        id: CoordinatorId,
        listed: BTreeSet<CoordinatorId>,
        identity: Arc<Identity>,
        fatal: Fatal,
    ) -> Self {
        let (members, stores) = (Mutex::default(), Mutex::default());
        Self { cluster_id, id, identity, fatal, listed, members, stores }
    }

    pub(super) fn id(&self) -> CoordinatorId {
        self.id
    }

    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The log has changed who is a member.
    pub(super) fn set_members(&self, members: BTreeSet<CoordinatorId>) {
        *self.members.lock().expect("no code panics while it holds this lock") = members;
    }

    /// How this node introduces itself to another.
    pub(super) fn header_to(&self, target: u64) -> PeerHeader {
        PeerHeader {
            cluster_id: self.cluster_id.clone(),
            from: self.id.0,
            to: target,
            feature_level: flame_machine::FEATURE_LEVEL,
            store_id: self.identity.store_id().to_string(),
        }
    }

    /// Admits whoever opened a stream or asked a question, and says who it is.
    pub(super) fn admit(&self, header: Option<&PeerHeader>) -> Result<CoordinatorId, Refused> {
        let header = header.ok_or(Refused::NoHeader)?;
        let from = CoordinatorId(header.from);
        self.check_cluster(&header.cluster_id)?;
        if header.to != self.id.0 {
            return Err(Refused::OtherNode { meant: CoordinatorId(header.to), found: self.id });
        }
        self.check_member(from)?;
        self.check_store(from, &header.store_id)?;
        Ok(from)
    }

    /// Checks that an answer comes from the node that was asked, and from the store it has always had.
    pub(super) fn confirm(&self, target: u64, header: Option<&PeerHeader>) -> Result<(), Refused> {
        let header = header.ok_or(Refused::NoHeader)?;
        self.check_cluster(&header.cluster_id)?;
        if header.from != target {
            return Err(Refused::OtherNode { meant: CoordinatorId(target), found: CoordinatorId(header.from) });
        }
        self.check_store(CoordinatorId(target), &header.store_id)
    }

    pub(super) fn check_cluster(&self, theirs: &str) -> Result<(), Refused> {
        if theirs == self.cluster_id {
            return Ok(());
        }
        Err(Refused::OtherCluster { ours: self.cluster_id.clone(), theirs: theirs.to_owned() })
    }

    /// A member is who the log or the configuration says: a node that joins hears of itself only from the log, and a
    /// node that is behind may not have heard of the one that speaks.
    pub(super) fn check_member(&self, from: CoordinatorId) -> Result<(), Refused> {
        let in_log = || self.members.lock().expect("no code panics while it holds this lock").contains(&from);
        if self.listed.contains(&from) || in_log() { Ok(()) } else { Err(Refused::NotMember(from)) }
    }

    fn check_store(&self, peer: CoordinatorId, store_id: &str) -> Result<(), Refused> {
        let store_id = Uuid::parse_str(store_id).map_err(|_| Refused::NoStore(peer))?;
        let mut stores = self.stores.lock().expect("no code panics while it holds this lock");
        let known = stores.get(&peer).copied().or_else(|| self.identity.peer(peer).map(|memory| memory.store_id));
        match known {
            Some(known) if known == store_id => {}
            Some(_) => return Err(Refused::OtherStore(peer)),
            // One synced write per member and life of a disk; until it is done the peer is not believed.
            None => self.remember(peer, store_id)?,
        }
        stores.insert(peer, store_id);
        Ok(())
    }

    fn remember(&self, peer: CoordinatorId, store_id: Uuid) -> Result<(), Refused> {
        let memory = PeerMemory { store_id, incarnation: 0, matched: LogIndex(0) };
        self.identity.remember_peer(peer, memory).map_err(|error| {
            if let StorageError::Stopped(cause) = error {
                self.fatal.raise(cause);
            }
            Refused::DiskFailed
        })
    }
}
