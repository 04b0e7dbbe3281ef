//! Whose disk this is, and what it has promised.
//!
//! A Raft node that comes back with less than it acknowledged, or with an older vote, breaks the majority argument.
//! Neither the log nor RocksDB can notice that a file is gone or was cut at a record boundary. So a small file beside
//! them remembers two floors:
//!
//! * **vote floor**: the last vote saved. Synced right after the log made the vote durable, once an election.
//! * **acknowledged floor**: the last index reported durable. After each group it is written *without* a sync, which
//!   costs a microsecond and survives the death of the process exactly; every [`FLOOR_SYNC_GROUPS`] groups it is synced,
//!   which is what a power cut leaves. A truncation lowers it durably *before* the log is truncated.
//!
//! An old copy of a whole disk brings its old floors along. Against that each node remembers of its peers how often their
//! disks were opened, which opening it has met, and what they have acknowledged to it ([`PeerMemory`]). Every opening is a
//! *life*: it has the next incarnation and a random number, so that two copies of one disk, which come to the same
//! incarnation, are still two.
//!
//! **Invariant:** a floor never exceeds what the log holds durably.
//! **Invariant:** below a floor the node does not vote, does not campaign, does not serve: [`Error::Quarantine`].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flame_types::{CoordinatorId, LogIndex};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity_slots::{Found, Slots};
use crate::{Error, LogId, Vote};

/// Groups of log writes between two syncs of the acknowledged floor.
pub const FLOOR_SYNC_GROUPS: u32 = 1024;

/// Most peers remembered: far above any sensible cluster, and it keeps the file in its slot.
pub const PEERS_MAX: usize = 64;

/// Who the caller expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Name of the cluster.
    pub cluster_id: String,
    /// Id of this node in it.
    pub node: CoordinatorId,
    /// Feature levels that this program understands.
    pub levels: RangeInclusive<u32>,
}

/// What is remembered of another node, so that one that lost its disk, or was given an old copy, is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerMemory {
    /// The random id of its store.
    pub store_id: Uuid,
    /// The highest incarnation seen.
    pub incarnation: u64,
    /// The highest log index that it has acknowledged to this node and that is committed, as far as it was noted.
    pub matched: LogIndex,
    /// The random number of that incarnation.
    pub life: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    cluster_id: String,
    node: CoordinatorId,
    store_id: Uuid,
    incarnation: u64,
    vote_floor: Option<Vote>,
    acknowledged_floor: Option<LogIndex>,
    members_token: Option<u128>,
    bootstrapped: bool,
    peers: BTreeMap<CoordinatorId, PeerMemory>,
    members_from: Option<LogIndex>,
}

#[derive(Debug)]
struct Inner {
    slots: Slots,
    record: Record,
    unsynced_groups: u32,
    failure: Option<String>,
}

/// The open identity of a data directory.
#[derive(Debug)]
pub struct Identity {
    path: PathBuf,
    /// Of this opening.
    life: u64,
    /// The last index that is surely here; 0 for none. The acknowledged floor, for those who must not wait for the disk.
    held: AtomicU64,
    inner: Mutex<Inner>,
}

impl Identity {
    /// Opens the identity in `root`, or makes one if the directory holds no data yet. Counts the incarnation up, durably.
    pub(crate) fn open(root: &Path, expected: &Expected, has_data: bool) -> Result<Self, Error> {
        let path = root.join("identity");
        let damaged = |why: String| Error::DamagedIdentity { dir: root.to_path_buf(), why };
        let (slots, found) =
            Slots::open::<Record>(&path).map_err(Error::io(format!("cannot open {}", path.display())))?;
        let record = match found {
            Found::Value(record) => continued(root, record, expected)?,
            Found::Nothing if has_data => return Err(damaged("the identity is missing beside data".into())),
            Found::Damaged(why) if has_data => return Err(damaged(why)),
            Found::Nothing | Found::Damaged(_) => fresh(expected),
        };
        Self::opened(root, path, slots, record)
    }

    /// Opens the identity in `root`, whosever it is. Counts the incarnation up, durably.
    pub(crate) fn open_as_found(root: &Path) -> Result<Self, Error> {
        let path = root.join("identity");
        let damaged = |why: String| Error::DamagedIdentity { dir: root.to_path_buf(), why };
        let (slots, found) =
            Slots::open::<Record>(&path).map_err(Error::io(format!("cannot open {}", path.display())))?;
        match found {
            Found::Value(record) => Self::opened(root, path, slots, next_opening(record)),
            Found::Nothing => Err(damaged("the identity is missing beside data".into())),
            Found::Damaged(why) => Err(damaged(why)),
        }
    }

    fn opened(root: &Path, path: PathBuf, slots: Slots, record: Record) -> Result<Self, Error> {
        let inner = Inner { slots, record, unsynced_groups: 0, failure: None };
        let (life, _) = Uuid::new_v4().as_u64_pair();
        let held = AtomicU64::new(inner.record.acknowledged_floor.map_or(0, |index| index.0));
        let identity = Self { path, life, held, inner: Mutex::new(inner) };
        identity.lock().save()?;
        crate::files::sync_dir(root)?;
        Ok(identity)
    }

    /// The random id drawn when this disk was first used.
    #[must_use]
    pub fn store_id(&self) -> Uuid {
        self.lock().record.store_id
    }

    /// Counts the openings of this data directory: 1, 2, 3 …
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.lock().record.incarnation
    }

    /// The random number of this opening.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// The last index that this disk surely holds, as far as it was reported durable or found at the start; 0 for none.
    /// Never waits.
    #[must_use]
    pub fn held(&self) -> LogIndex {
        LogIndex(self.held.load(Ordering::Acquire))
    }

    /// The cluster this disk belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.lock().record.cluster_id.clone()
    }

    /// The node this disk belongs to.
    #[must_use]
    pub fn node(&self) -> CoordinatorId {
        self.lock().record.node
    }

    /// The token over the member list this node agreed to bootstrap with.
    #[must_use]
    pub fn members_token(&self) -> Option<u128> {
        self.lock().record.members_token
    }

    /// Remembers the token, durably.
    ///
    /// # Errors
    /// A failed write; the outcome is unknown, and nothing is written any more.
    pub fn set_members_token(&self, token: u128) -> Result<(), Error> {
        self.change(|record| record.members_token = Some(token))
    }

    /// Whether this node has initialised the cluster.
    #[must_use]
    pub fn is_bootstrapped(&self) -> bool {
        self.lock().record.bootstrapped
    }

    /// Remembers that this node has initialised the cluster, durably.
    ///
    /// # Errors
    /// A failed write; the outcome is unknown, and nothing is written any more.
    pub fn set_bootstrapped(&self) -> Result<(), Error> {
        self.change(|record| record.bootstrapped = true)
    }

    /// The entry from which on memberships count, if this node was made to go on without its majority: whoever only an
    /// earlier one names is no member, and was none at any moment since.
    #[must_use]
    pub fn members_from(&self) -> Option<LogIndex> {
        self.lock().record.members_from
    }

    /// From this entry on memberships count. Durable.
    ///
    /// # Errors
    /// A failed write; the outcome is unknown, and nothing is written any more.
    pub fn set_members_from(&self, index: LogIndex) -> Result<(), Error> {
        self.change(|record| record.members_from = Some(index))
    }

    /// What is remembered of another node.
    #[must_use]
    pub fn peer(&self, node: CoordinatorId) -> Option<PeerMemory> {
        self.lock().record.peers.get(&node).copied()
    }

    /// Everybody who is remembered.
    #[must_use]
    pub fn peers(&self) -> Vec<CoordinatorId> {
        self.lock().record.peers.keys().copied().collect()
    }

    /// Notes what others have acknowledged to this node. Not synced: the next write that is takes it along, and the death of
    /// the process alone loses nothing. Says nothing of nodes that are not remembered, and never lowers anything.
    ///
    /// # Errors
    /// A failed write, whose outcome is unknown.
    pub fn note_matched(&self, matched: impl IntoIterator<Item = (CoordinatorId, LogIndex)>) -> Result<(), Error> {
        let mut inner = self.lock();
        let mut changed = false;
        for (node, index) in matched {
            if let Some(memory) = inner.record.peers.get_mut(&node).filter(|memory| memory.matched < index) {
                memory.matched = index;
                changed = true;
            }
        }
        if changed { inner.note() } else { Ok(()) }
    }

    /// Remembers another node, durably. Does nothing if nothing changed.
    ///
    /// # Errors
    /// [`Error::Refused`] beyond [`PEERS_MAX`]; a failed write, whose outcome is unknown.
    pub fn remember_peer(&self, node: CoordinatorId, memory: PeerMemory) -> Result<(), Error> {
        let mut inner = self.lock();
        let peers = &mut inner.record.peers;
        if peers.get(&node) == Some(&memory) {
            return Ok(());
        }
        if peers.len() >= PEERS_MAX && !peers.contains_key(&node) {
            return Err(Error::Refused(format!("more than {PEERS_MAX} peers")));
        }
        peers.insert(node, memory);
        inner.save()
    }

    /// Forgets a member that was removed, durably.
    ///
    /// # Errors
    /// A failed write; the outcome is unknown, and nothing is written any more.
    pub fn forget_peer(&self, node: CoordinatorId) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.record.peers.remove(&node).is_none() {
            return Ok(());
        }
        inner.save()
    }

    /// The vote floor.
    #[must_use]
    pub fn vote_floor(&self) -> Option<Vote> {
        self.lock().record.vote_floor
    }

    /// The acknowledged floor.
    #[must_use]
    pub fn acknowledged_floor(&self) -> Option<LogIndex> {
        self.lock().record.acknowledged_floor
    }

    /// Whether a log that was just opened holds all that was promised.
    pub(crate) fn check_floors(&self, vote: Option<&Vote>, last: Option<&LogId>) -> Result<(), Error> {
        let inner = self.lock();
        if let Some(floor) = inner.record.acknowledged_floor
            && last.is_none_or(|last| last.index < floor.0)
        {
            let have = last.map_or("nothing".into(), |last| format!("entries up to {}", last.index));
            return Err(Error::Quarantine(format!("entry {floor} was acknowledged, the log holds {have}")));
        }
        if let Some(floor) = &inner.record.vote_floor
            && vote.is_none_or(|vote| !matches!(vote.partial_cmp(floor), Some(order) if order.is_ge()))
        {
            let have = vote.map_or("none".into(), ToString::to_string);
            return Err(Error::Quarantine(format!("vote {floor} was given, the log holds {have}")));
        }
        // A power cut may have left an older floor than the log itself.
        self.held.fetch_max(last.map_or(0, |last| last.index), Ordering::AcqRel);
        Ok(())
    }

    /// Notes that all up to `index` was reported durable.
    pub(crate) fn raise_acknowledged(&self, index: LogIndex) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.record.acknowledged_floor >= Some(index) {
            return Ok(());
        }
        inner.record.acknowledged_floor = Some(index);
        self.held.fetch_max(index.0, Ordering::AcqRel);
        inner.unsynced_groups += 1;
        if inner.unsynced_groups >= FLOOR_SYNC_GROUPS { inner.save() } else { inner.note() }
    }

    /// Lowers the floor, durably, before entries above `index` are taken out of the log.
    pub(crate) fn lower_acknowledged(&self, index: Option<LogIndex>) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.record.acknowledged_floor <= index {
            return Ok(());
        }
        inner.record.acknowledged_floor = index;
        inner.save()
    }

    /// Notes a vote that the log has made durable.
    pub(crate) fn raise_vote(&self, vote: &Vote) -> Result<(), Error> {
        self.change(|record| record.vote_floor = Some(*vote))
    }

    /// Makes the acknowledged floor durable when the log closes.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let mut inner = self.lock();
        if inner.unsynced_groups == 0 { Ok(()) } else { inner.save() }
    }

    fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut inner = self.lock();
        change(&mut inner.record);
        inner.save()
    }

    /// The lock guards plain data that is valid between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Inner {
    fn save(&mut self) -> Result<(), Error> {
        self.unsynced_groups = 0;
        self.guarded(|inner| inner.slots.write_synced(&inner.record))
    }

    fn note(&mut self) -> Result<(), Error> {
        self.guarded(|inner| inner.slots.write_unsynced(&inner.record))
    }

    /// After one failure nothing is written any more: the content of the file is unknown.
    fn guarded(&mut self, write: impl FnOnce(&mut Self) -> std::io::Result<()>) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(Error::Stopped(failure.clone()));
        }
        write(self).map_err(|error| {
            let failure = format!("cannot write the identity: {error}");
            self.failure = Some(failure.clone());
            Error::Stopped(failure)
        })
    }
}

fn fresh(expected: &Expected) -> Record {
    Record {
        cluster_id: expected.cluster_id.clone(),
        node: expected.node,
        store_id: Uuid::new_v4(),
        incarnation: 1,
        vote_floor: None,
        acknowledged_floor: None,
        members_token: None,
        bootstrapped: false,
        peers: BTreeMap::new(),
        members_from: None,
    }
}

fn continued(root: &Path, record: Record, expected: &Expected) -> Result<Record, Error> {
    if record.cluster_id != expected.cluster_id {
        let (expected, found) = (expected.cluster_id.clone(), record.cluster_id);
        return Err(Error::WrongCluster { dir: root.to_path_buf(), expected, found });
    }
    if record.node != expected.node {
        return Err(Error::WrongNode { dir: root.to_path_buf(), expected: expected.node, found: record.node });
    }
    Ok(next_opening(record))
}

fn next_opening(record: Record) -> Record {
    Record { incarnation: record.incarnation + 1, ..record }
}
