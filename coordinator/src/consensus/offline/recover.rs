//! Going on with one node when the majority is gone for ever.
//!
//! Whatever is in the log of that node counts from now on, also what may never have been acknowledged: nobody is left who
//! could tell, and to keep it loses nothing. What the others had beyond it is lost.
//!
//! The identity remembers from which entry on memberships count. So those who were members, should they come back, cannot
//! speak to the node even before it has applied that they are members no more; and since its disk is the one that they
//! know, they believe it that they were removed, and end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flame_machine::{Ctx, Levels, RowChange, RowSink, State, digest};
use flame_storage::{
    DataDir, Entry, EntryPayload, LogId, LogOptions, MemberNode, Membership, RocksLog, StateOptions, StateStore, Vote,
};
use flame_types::{CoordinatorId, LogIndex, Term};
use openraft::storage::{RaftLogReader, RaftLogStorage};

use super::anew::{self, block_on};
use crate::consensus::entry::decode_entry;
use crate::consensus::error::StartError;
use crate::consensus::level::why;
use crate::consensus::replica::{raised_level, tell_members};
use crate::consensus::rows;

/// Entries that are read at a time.
const PAGE_ENTRIES: u64 = 256;

/// What the directory of a survivor holds.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The directory.
    pub data_dir: PathBuf,
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub id: CoordinatorId,
    /// Who votes now, by the log.
    pub voters: BTreeSet<CoordinatorId>,
    /// Who only receives the log.
    pub learners: BTreeSet<CoordinatorId>,
    /// The last entry here.
    pub last: LogId,
    /// The last one that this node knew to be acknowledged by a majority.
    pub committed: LogIndex,
    /// The last one in the rows.
    pub applied: LogIndex,
    /// Whether it led in the last term that it has heard of.
    pub led: bool,
    /// The digest of the state after the last entry.
    pub digest: u128,
}

impl Survey {
    /// Entries that count from now on and that nobody may have been told of.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.last.index.saturating_sub(self.committed.0)
    }

    /// Entries that the next start applies.
    #[must_use]
    pub fn unapplied(&self) -> u64 {
        self.last.index.saturating_sub(self.applied.0)
    }

    /// Everybody else who was a member.
    #[must_use]
    pub fn others(&self) -> BTreeSet<CoordinatorId> {
        self.voters.union(&self.learners).copied().filter(|id| *id != self.id).collect()
    }
}

/// The directory of a node that does not run, open.
pub struct Survivor {
    data: DataDir,
    log: RocksLog,
    node: MemberNode,
    survey: Survey,
}

/// A directory from which one node goes on alone.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What it held.
    pub survey: Survey,
    /// The last entry now.
    pub last: LogId,
}

impl Survivor {
    /// Opens a directory, with the checks of every start, and applies its log in memory: what cannot be gone on with shows
    /// before anything is changed.
    ///
    /// # Errors
    /// [`StartError`]: it is in use, damaged, or holds nothing.
    pub fn open(data_dir: &Path) -> Result<Self, StartError> {
        let data = DataDir::open_as_found(data_dir, &Levels::OWN.all())?;
        let mut log = RocksLog::open(&data, LogOptions::default())?;
        let store = StateStore::open(data.state_dir(), StateOptions::default())?;
        let (applied, membership) = store.applied();
        log.check_applied(applied.as_ref())?;
        let mut seen =
            Seen { state: rows::load(&store)?, applied, members: membership.membership().clone(), last: applied };
        let committed = block_on(async {
            seen.replay(&log).await?;
            log.read_committed().await.map_err(|error| StartError::Recovery(error.to_string()))
        })?;
        let last = seen.last.ok_or_else(|| {
            StartError::Options(format!("{} holds no entry: there is nothing to go on with", data_dir.display()))
        })?;
        let id = data.identity().node();
        let survey = Survey {
            data_dir: data_dir.to_path_buf(),
            cluster_id: data.identity().cluster_id(),
            id,
            voters: seen.members.voter_ids().map(CoordinatorId).collect(),
            learners: seen.members.learner_ids().map(CoordinatorId).collect(),
            last,
            committed: LogIndex(committed.max(applied).map_or(0, |id| id.index)),
            applied: LogIndex(applied.map_or(0, |id| id.index)),
            led: log.vote().is_some_and(|vote| led(&vote, id)),
            digest: digest::digest(&seen.state),
        };
        let node = seen.members.get_node(&id.0).cloned().ok_or_else(|| {
            let why = "its log does not name it a member: let it join a cluster instead";
            StartError::Options(format!("coordinator {id} in {}: {why}", data_dir.display()))
        })?;
        Ok(Self { data, log, node, survey })
    }

    /// What it holds.
    #[must_use]
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Makes it the only member, for ever. May be repeated when it was cut short.
    ///
    /// # Errors
    /// [`StartError`]; a directory that was begun cannot be served from.
    pub fn recover(mut self) -> Result<Recovered, StartError> {
        self.data.begin_recovery()?;
        let begun = block_on(anew::begin(&self.data, &mut self.log, self.node))?;
        drop(self.log);
        self.data.identity().set_members_from(begun.membership)?;
        self.data.finish()?;
        Ok(Recovered { survey: self.survey, last: begun.last })
    }
}

fn led(vote: &Vote, id: CoordinatorId) -> bool {
    vote.committed && vote.leader_id.voted_for == id.0
}

/// The state, as far as it was brought.
struct Seen {
    state: State,
    applied: Option<LogId>,
    members: Membership,
    last: Option<LogId>,
}

impl Seen {
    async fn replay(&mut self, log: &RocksLog) -> Result<(), StartError> {
        let (mut reader, end) = (log.reader(), log.last_log_id().map_or(0, |last| last.index + 1));
        let mut next = self.applied.map_or(0, |applied| applied.index + 1);
        while next < end {
            let page = reader.try_get_log_entries(next..end.min(next + PAGE_ENTRIES)).await;
            let page = page.map_err(|error| StartError::Recovery(error.to_string()))?;
            if page.is_empty() {
                return Err(StartError::Recovery(format!("entry {next} is missing")));
            }
            for entry in page {
                next = entry.log_id.index + 1;
                self.last = Some(entry.log_id);
                self.apply(entry)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, entry: Entry) -> Result<(), StartError> {
        let ctx = Ctx { index: LogIndex(entry.log_id.index), term: Term(entry.log_id.leader_id.term) };
        let unreadable = |why: String| StartError::Recovery(format!("entry {}: {why}", ctx.index));
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(members) => {
                tell_members(&mut self.state, &members, &mut Nowhere);
                self.members = members;
            }
            EntryPayload::Normal(data) => {
                let batch = decode_entry(data.0).map_err(|error| unreadable(error.to_string()))?;
                if let Some(level) = raised_level(&batch).filter(|level| !Levels::OWN.understand(*level)) {
                    return Err(StartError::Outdated(why("the cluster", level)));
                }
                self.state.apply_to(ctx, batch, &mut Nowhere);
            }
        }
        Ok(())
    }
}

/// Rows that are not written: the next start makes them again.
struct Nowhere;

impl RowSink for Nowhere {
    fn take(&mut self, _: RowChange) {}
}
