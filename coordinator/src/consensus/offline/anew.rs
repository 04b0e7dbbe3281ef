//! The end of the old cluster and the beginning of the new one, as entries of the log.

use std::collections::{BTreeMap, BTreeSet};

use flame_clock::{Clock, SystemClock};
use flame_machine::command::{Command, Item};
use flame_storage::{DataDir, Entry, EntryData, EntryPayload, LogId, MemberNode, Membership, RocksLog, Vote, codec};
use flame_types::{ClientId, CoordinatorId, LogIndex, Seq};
use openraft::storage::{IOFlushed, RaftLogStorage};
use uuid::Uuid;

use crate::consensus::entry::{BatchHeader, encode_entry};
use crate::consensus::error::StartError;

/// The membership of one node alone.
pub(super) fn alone(id: CoordinatorId, node: MemberNode) -> Result<Membership, StartError> {
    let membership = Membership::new(vec![BTreeSet::from([id.0])], BTreeMap::from([(id.0, node)]));
    membership.map_err(|error| StartError::Defect(error.to_string()))
}

/// What was written.
pub(super) struct Begun {
    /// The entry with the membership.
    pub(super) membership: LogIndex,
    /// The last one.
    pub(super) last: LogId,
}

/// Makes a node the only member, in a new generation. Durable when it returns.
pub(super) async fn begin(data: &DataDir, log: &mut RocksLog, node: MemberNode) -> Result<Begun, StartError> {
    let id = data.identity().node();
    let node = MemberNode { store_id: data.identity().store_id(), ..node };
    let last = log.last_log_id();
    // Above every term that this node has heard of: nobody else has written in it.
    let heard_of = log.vote().map_or(0, |vote| vote.leader_id.term).max(last.map_or(0, |last| last.leader_id.term));
    let (term, next) = (heard_of + 1, last.map_or(0, |last| last.index + 1));
    let payloads = [EntryPayload::Membership(alone(id, node)?), EntryPayload::Normal(EntryData(new_generation()))];
    let entries = (next..).zip(payloads);
    let entries: Vec<Entry> =
        entries.map(|(index, payload)| Entry { log_id: LogId::new_term_index(term, index), payload }).collect();
    let last = entries.last().map_or_else(|| LogId::new_term_index(term, next), |last| last.log_id);
    log.append(entries, IOFlushed::noop()).await.map_err(failed)?;
    // A vote is durable when it is saved, and so is all before it.
    log.save_vote(&Vote::new(term, id.0)).await.map_err(failed)?;
    Ok(Begun { membership: LogIndex(next), last })
}

fn new_generation() -> bytes::Bytes {
    let command = Command::NewGeneration { nonce: Uuid::new_v4().as_u128() };
    let item = Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
    let header = BatchHeader { wall_ms: SystemClock.wall(), cluster_delta_ms: 0 };
    encode_entry(&header, &[codec::encode(&item)])
}

/// Writing failed; the marker of the directory says that it is not finished.
pub(super) fn failed(source: std::io::Error) -> StartError {
    StartError::Io { what: "the log cannot be written", source }
}

/// Runs what the log does in the background to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|source| StartError::Io { what: "a runtime cannot be started", source })?;
    runtime.block_on(work)
}
