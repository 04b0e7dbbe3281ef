//! Who may speak to this node, and how it introduces itself.
//!
//! Every stream and every question between coordinators begins with a header: cluster, both ends, the random id of the
//! sender's store, and the store that the sender has always met under the receiver's id. The first time a peer is heard
//! its store id is written down; from then on only that store is believed. A node whose disk was wiped has another one:
//! its old votes are forgotten, so it must not vote again under the same id. It learns so from the headers of the
//! others, and lets nothing in that is meant for the disk it had (see [`meeting`](super::meeting) for its end).
//!
//! **Invariant:** nothing of a message is looked at before its header was admitted.
//! **Invariant:** what is meant for another store of this node is not taken, whatever this node holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use flame_proto::ha::PeerHeader;
use flame_storage::{Error as StorageError, Fatal, Identity, PeerMemory};
use flame_types::{CoordinatorId, LogIndex};
use tonic::{Code, Status};
use uuid::Uuid;

use super::complaints::{Complaints, Occasion};

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
    /// The sender has always met another store under the id of this node.
    #[error(
        "coordinator {by} knows another store under the id of coordinator {id}: the disk of {id} was wiped, or is not \
         the one it had"
    )]
    NotRecognised {
        /// The sender.
        by: CoordinatorId,
        /// This node.
        id: CoordinatorId,
    },
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

/// Whether a store that was never met is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remember {
    /// It takes part.
    Always,
    /// It has nothing of the log yet. It may have been given another disk by the time it takes part.
    Never,
}

impl Remember {
    /// Those of nodes that both have something of the log are written down.
    pub(super) fn if_both(this: bool, other: bool) -> Self {
        if this && other { Self::Always } else { Self::Never }
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
    complaints: Complaints,
}

impl Gate {
    pub(super) fn new(
        cluster_id: String,
        id: CoordinatorId,
        listed: BTreeSet<CoordinatorId>,
        identity: Arc<Identity>,
        fatal: Fatal,
    ) -> Self {
        let (members, stores, complaints) = (Mutex::default(), Mutex::default(), Complaints::default());
        Self { cluster_id, id, identity, fatal, listed, members, stores, complaints }
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
            known_store_id: self.known(CoordinatorId(target)).map(|store| store.to_string()).unwrap_or_default(),
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
        let recognised = self.check_recognised(from, header);
        let admitted = recognised.and_then(|()| self.check_store(from, &header.store_id, Remember::Always));
        self.note(from, Occasion::Question, &admitted);
        admitted.map(|()| from)
    }

    /// Checks that an answer comes from the node that was asked, and from the store it has always had.
    pub(super) fn confirm(&self, target: u64, header: Option<&PeerHeader>) -> Result<(), Refused> {
        let target = CoordinatorId(target);
        self.confirm_as(target, header, Remember::Always)?;
        self.complaints.note(target, Occasion::Refusal, None);
        Ok(())
    }

    /// The same for one that is met, not followed.
    pub(super) fn confirm_as(
        &self,
        target: CoordinatorId,
        header: Option<&PeerHeader>,
        remember: Remember,
    ) -> Result<(), Refused> {
        let confirmed = self.check_answer(target, header, remember);
        self.note(target, Occasion::Answer, &confirmed);
        confirmed
    }

    /// A peer has answered with an error. Strangers get one code, and nothing else has it.
    pub(super) fn refused_by(&self, target: u64, status: &Status) {
        if status.code() == Code::FailedPrecondition {
            self.unwelcome_at(CoordinatorId(target), status.message().to_owned());
        }
    }

    /// A peer does not let this node in.
    pub(super) fn unwelcome_at(&self, peer: CoordinatorId, why: String) {
        self.complaints.note(peer, Occasion::Refusal, Some(why));
    }

    /// Somebody introduces itself. It is answered, whatever is held against it: how else would it hear of that.
    pub(super) fn meet(&self, from: CoordinatorId, header: &PeerHeader, remember: Remember) {
        let met = self.check_store(from, &header.store_id, remember);
        self.note(from, Occasion::Question, &met);
    }

    /// Whether the sender has met this very store under this node's id, or none yet.
    pub(super) fn check_recognised(&self, by: CoordinatorId, header: &PeerHeader) -> Result<(), Refused> {
        let known = &header.known_store_id;
        if known.is_empty() || Uuid::parse_str(known) == Ok(self.identity.store_id()) {
            return Ok(());
        }
        Err(Refused::NotRecognised { by, id: self.id })
    }

    /// Whether this node knows the store of another.
    pub(super) fn has_met(&self, peer: CoordinatorId) -> bool {
        self.known(peer).is_some()
    }

    fn note(&self, peer: CoordinatorId, occasion: Occasion, checked: &Result<(), Refused>) {
        self.complaints.note(peer, occasion, checked.as_ref().err().map(ToString::to_string));
    }

    fn check_answer(
        &self,
        target: CoordinatorId,
        header: Option<&PeerHeader>,
        remember: Remember,
    ) -> Result<(), Refused> {
        let header = header.ok_or(Refused::NoHeader)?;
        self.check_cluster(&header.cluster_id)?;
        if header.from != target.0 {
            return Err(Refused::OtherNode { meant: target, found: CoordinatorId(header.from) });
        }
        self.check_store(target, &header.store_id, remember)
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
        if self.listed.contains(&from) || self.is_in_log(from) { Ok(()) } else { Err(Refused::NotMember(from)) }
    }

    /// Whether the log names this node a member.
    pub(super) fn is_in_log(&self, id: CoordinatorId) -> bool {
        self.members.lock().expect("no code panics while it holds this lock").contains(&id)
    }

    fn known(&self, peer: CoordinatorId) -> Option<Uuid> {
        let stores = self.stores.lock().expect("no code panics while it holds this lock");
        stores.get(&peer).copied().or_else(|| self.identity.peer(peer).map(|memory| memory.store_id))
    }

    fn check_store(&self, peer: CoordinatorId, store_id: &str, remember: Remember) -> Result<(), Refused> {
        let store_id = Uuid::parse_str(store_id).map_err(|_| Refused::NoStore(peer))?;
        let mut stores = self.stores.lock().expect("no code panics while it holds this lock");
        let known = stores.get(&peer).copied().or_else(|| self.identity.peer(peer).map(|memory| memory.store_id));
        match known {
            Some(known) if known == store_id => {}
            Some(_) => return Err(Refused::OtherStore(peer)),
            None if remember == Remember::Never => return Ok(()),
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
