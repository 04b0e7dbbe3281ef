//! Who may speak to this node, and how it introduces itself.
//!
//! Every stream and every question between coordinators begins with a header: cluster, both ends, the random id of the
//! sender's store, how often that was opened and what it holds, and the store that the sender knows under the receiver's
//! id. The log names the store of every member, so only that store is believed under its id; before there is a log, the
//! first one that is met is written down. What a disk has promised before it was wiped, or since it was copied, nobody
//! knows: such a node must not vote again under the same id ([`lives`](super::lives)). It learns so from the headers of the
//! others, and lets nothing in that is meant for the disk it had (see [`meeting`](super::meeting) for its end).
//!
//! Members may speak ([`directory`](super::directory)). A node whose log is behind may not have heard of the member that
//! speaks: one with a higher id than any it has heard of is let in if it names this node's store, which it has met. A node
//! that waits to be added lets in whom the members at the addresses in its configuration have named.
//!
//! **Invariant:** nothing of a message is looked at before its header was admitted.
//! **Invariant:** what is meant for another store of this node is not taken, whatever this node holds.
//! **Invariant:** whoever was removed is not let in again.
//! **Invariant:** nobody is let in whose build does not understand the level that the cluster runs at.

use std::sync::Arc;

use flame_machine::Levels;
use flame_proto::ha::{self, PeerHeader};
use flame_storage::Identity;
use flame_tls::{Settings, Verdict};
use flame_types::{CoordinatorId, LogIndex};
use tokio::sync::{Notify, watch};
use tonic::{Code, Status};
use uuid::Uuid;

use super::complaints::{Complaints, Occasion};
use super::directory::{Directory, Place};
use super::level::{RunningLevel, levels_of, outdated};
use super::lives::Lives;
pub(super) use super::lives::Remember;

/// How a coordinator names its certificates.
pub(super) const TLS_SETTINGS: Settings =
    Settings { ca: "cluster.tls.ca_file", identity: "cluster.tls.cert_file and cluster.tls.key_file" };

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
    /// Was a member once, and the ids of members are given out once.
    #[error(
        "coordinator {id} is no member of this cluster any more; what was removed comes back under a new id, with an empty \
         directory: the lowest that is free is {next}"
    )]
    Removed {
        /// The sender.
        id: CoordinatorId,
        /// The lowest id that was never taken.
        next: CoordinatorId,
    },
    /// The sender's disk is an old copy.
    #[error("coordinator {id} has an old copy of its disk, or a part of it: {why}; replace it by one under a new id")]
    RolledBack {
        /// The sender.
        id: CoordinatorId,
        /// How it shows.
        why: String,
    },
    /// The sender's build does not understand the level that the cluster runs at.
    #[error(
        "the cluster runs at feature level {level}, and the build of coordinator {id} understands {theirs}: start a release \
         that understands it there"
    )]
    Outdated {
        /// The sender.
        id: CoordinatorId,
        /// What it understands.
        theirs: Levels,
        /// Of the cluster.
        level: u32,
    },
    /// This node's build does not understand the level that the sender runs at.
    #[error("coordinator {id} runs at feature level {level}, which this build does not understand")]
    Ahead {
        /// The sender.
        id: CoordinatorId,
        /// Its level.
        level: u32,
    },
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

/// What this node says of its own disk.
pub(super) struct Disk {
    pub(super) identity: Arc<Identity>,
    /// What the rows stand for: a snapshot brings more than the log has seen.
    pub(super) applied: watch::Receiver<LogIndex>,
}

/// Checks and writes headers.
pub(super) struct Gate {
    cluster_id: String,
    id: CoordinatorId,
    disk: Disk,
    level: RunningLevel,
    pub(super) directory: Directory,
    pub(super) lives: Arc<Lives>,
    complaints: Complaints,
    /// A peer has refused this node.
    doubt: Notify,
}

impl Gate {
    pub(super) fn new(
        cluster_id: String,
        id: CoordinatorId,
        directory: Directory,
        lives: Arc<Lives>,
        disk: Disk,
        level: RunningLevel,
    ) -> Self {
        let (complaints, doubt) = (Complaints::default(), Notify::new());
        Self { cluster_id, id, disk, level, directory, lives, complaints, doubt }
    }

    pub(super) fn id(&self) -> CoordinatorId {
        self.id
    }

    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// How this node introduces itself to another.
    pub(super) fn header_to(&self, target: u64) -> PeerHeader {
        PeerHeader {
            cluster_id: self.cluster_id.clone(),
            from: self.id.0,
            to: target,
            feature_level: Levels::OWN.highest,
            feature_level_min: Levels::OWN.lowest,
            cluster_level: self.level.get(),
            store_id: self.disk.identity.store_id().to_string(),
            known_store_id: self.known(CoordinatorId(target)).map(|store| store.to_string()).unwrap_or_default(),
            incarnation: self.disk.identity.incarnation(),
            life: self.disk.identity.life(),
            holds: self.disk.identity.held().max(*self.disk.applied.borrow()).0,
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
        let remember = self.check_place(from, header)?;
        let recognised = self.check_recognised(from, header);
        let admitted = recognised.and_then(|()| self.check_disk(from, header, remember));
        let admitted = admitted.and_then(|()| self.check_levels(from, header));
        self.note(from, Occasion::Question, &admitted);
        admitted.map(|()| from)
    }

    /// Checks that an answer comes from the node that was asked, and from the store it has always had.
    pub(super) fn confirm(&self, target: u64, header: Option<&PeerHeader>) -> Result<(), Refused> {
        let target = CoordinatorId(target);
        self.confirm_as(target, header, Remember::Always)?;
        self.complaints.note(target, Occasion::Refusal, None);
        self.complaints.note(target, Occasion::Certificates, None);
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
            self.doubt.notify_one();
        }
        if let Some(verdict) = Verdict::of(status) {
            self.unfit(CoordinatorId(target), &verdict);
        }
    }

    /// Certificates, of the peer or of this node, keep them apart.
    pub(super) fn unfit(&self, peer: CoordinatorId, verdict: &Verdict) {
        self.complaints.note(peer, Occasion::Certificates, Some(verdict.explain(TLS_SETTINGS)));
    }

    /// The peers that certificates keep apart from this node, and why.
    pub(super) fn unfit_peers(&self) -> Option<String> {
        self.complaints.all(Occasion::Certificates)
    }

    /// Waits until a peer has refused this node, or has done so since this was last asked.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// A peer does not let this node in.
    pub(super) fn unwelcome_at(&self, peer: CoordinatorId, why: String) {
        self.complaints.note(peer, Occasion::Refusal, Some(why));
    }

    /// Somebody introduces itself. It is answered, whatever is held against it: how else would it hear of that.
    pub(super) fn meet(&self, from: CoordinatorId, header: &PeerHeader, remember: Remember) {
        // Of others there is nothing to remember.
        if self.directory.place(from) == Place::Member {
            let met = self.check_disk(from, header, remember);
            self.note(from, Occasion::Question, &met);
        }
    }

    /// What the log says of somebody who asks, and why, if that ends it.
    pub(super) fn standing(&self, from: CoordinatorId, header: &PeerHeader) -> (ha::Standing, Option<Refused>) {
        if self.directory.place(from) == Place::Removed {
            return (ha::Standing::Removed, Some(self.removed(from)));
        }
        if !self.directory.is_in_log(from) {
            return (ha::Standing::Unknown, None);
        }
        let named = self.directory.store_by_log(from);
        match self.lives.check(from, header, named, Remember::Never) {
            // What the log does not name is hearsay: the leader's word is wanted (see `meeting`).
            Err(other @ Refused::OtherStore(_)) if named.is_some() => (ha::Standing::OtherStore, Some(other)),
            Err(rolled_back @ Refused::RolledBack { .. }) => (ha::Standing::RolledBack, Some(rolled_back)),
            _ => (ha::Standing::Member, None),
        }
    }

    /// Whether the sender knows this very store under this node's id, or none yet.
    pub(super) fn check_recognised(&self, by: CoordinatorId, header: &PeerHeader) -> Result<(), Refused> {
        if header.known_store_id.is_empty() || self.is_named_by(header) {
            return Ok(());
        }
        Err(Refused::NotRecognised { by, id: self.id })
    }

    fn is_named_by(&self, header: &PeerHeader) -> bool {
        Uuid::parse_str(&header.known_store_id) == Ok(self.disk.identity.store_id())
    }

    /// Whether this node knows the store of another.
    pub(super) fn has_met(&self, peer: CoordinatorId) -> bool {
        self.lives.store_of(peer).is_some()
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
        self.check_disk(target, header, remember)?;
        self.check_levels(target, header)
    }

    /// Whether both ends understand the level that the other one runs at. Who hears that it is out of date itself asks why,
    /// and ends by the answer (see `meeting`).
    fn check_levels(&self, peer: CoordinatorId, header: &PeerHeader) -> Result<(), Refused> {
        if outdated(header).is_some() {
            self.doubt.notify_one();
            return Err(Refused::Ahead { id: peer, level: header.cluster_level });
        }
        let (theirs, level) = (levels_of(header), self.level.get());
        if theirs.understand(level) { Ok(()) } else { Err(Refused::Outdated { id: peer, theirs, level }) }
    }

    pub(super) fn check_cluster(&self, theirs: &str) -> Result<(), Refused> {
        if theirs == self.cluster_id {
            return Ok(());
        }
        Err(Refused::OtherCluster { ours: self.cluster_id.clone(), theirs: theirs.to_owned() })
    }

    /// Whether somebody may ask how this node stands: members, and those of whom it may not have heard yet.
    pub(super) fn check_may_ask(&self, from: CoordinatorId) -> Result<(), Refused> {
        match self.directory.place(from) {
            Place::Member | Place::Newer => Ok(()),
            Place::Removed => Err(self.removed(from)),
            Place::Stranger => Err(Refused::NotMember(from)),
        }
    }

    /// Whether somebody may speak to Raft, and whether what is new of it is written down.
    fn check_place(&self, from: CoordinatorId, header: &PeerHeader) -> Result<Remember, Refused> {
        match self.directory.place(from) {
            Place::Member => Ok(Remember::Always),
            // It has been here before: it is no stranger who was given a wrong address.
            Place::Newer if self.is_named_by(header) => Ok(Remember::Never),
            Place::Removed => {
                let removed = self.removed(from);
                self.note(from, Occasion::Question, &Err(removed.clone()));
                Err(removed)
            }
            Place::Newer | Place::Stranger => Err(Refused::NotMember(from)),
        }
    }

    fn removed(&self, id: CoordinatorId) -> Refused {
        Refused::Removed { id, next: self.directory.next_id() }
    }

    fn known(&self, peer: CoordinatorId) -> Option<Uuid> {
        self.directory.store_of(peer).or_else(|| self.lives.store_of(peer))
    }

    fn check_disk(&self, peer: CoordinatorId, header: &PeerHeader, remember: Remember) -> Result<(), Refused> {
        self.lives.check(peer, header, self.directory.store_of(peer), remember)
    }
}
