//! Raft messages as frames. Entries travel as they lie in the log: their bytes are attached to a small header and are
//! slices of the received frame on the other side.

use bytes::Bytes;
use flame_storage::codec::{self, CodecError};
use flame_storage::{EntryData, MemberNode, TypeConfig};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::raft::AppendEntriesRequest;
use openraft::{EntryPayload, Membership};
use serde::{Deserialize, Serialize};

/// What a frame of entries says about them, beside their bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    vote: VoteOf<TypeConfig>,
    previous: Option<LogIdOf<TypeConfig>>,
    committed: Option<LogIdOf<TypeConfig>>,
    entries: Vec<EntryHead>,
}

#[derive(Serialize, Deserialize)]
struct EntryHead {
    log_id: LogIdOf<TypeConfig>,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Blank,
    /// Its bytes are the next part of the frame.
    Commands,
    Membership(Membership<u64, MemberNode>),
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::consensus) enum FrameError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the header announces {announced} entries with commands, the frame holds {held}")]
    Parts { announced: usize, held: usize },
}

/// A request to append as a frame.
pub(in crate::consensus) fn encode_append(request: AppendEntriesRequest<TypeConfig>) -> Bytes {
    let mut parts = Vec::with_capacity(request.entries.len());
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let kind = match entry.payload {
            EntryPayload::Blank => Kind::Blank,
            EntryPayload::Normal(data) => {
                parts.push(data.0);
                Kind::Commands
            }
            EntryPayload::Membership(membership) => Kind::Membership(membership),
        };
        entries.push(EntryHead { log_id: entry.log_id, kind });
    }
    let head = Head { vote: request.vote, previous: request.prev_log_id, committed: request.leader_commit, entries };
    codec::join(&head, &parts)
}

/// A frame as a request to append.
pub(in crate::consensus) fn decode_append(frame: Bytes) -> Result<AppendEntriesRequest<TypeConfig>, FrameError> {
    let (head, parts) = codec::split::<Head>(frame)?;
    let held = parts.len();
    let announced = head.entries.iter().filter(|entry| matches!(entry.kind, Kind::Commands)).count();
    if announced != held {
        return Err(FrameError::Parts { announced, held });
    }
    let mut parts = parts.into_iter();
    let entries = head
        .entries
        .into_iter()
        .map(|entry| {
            let payload = match entry.kind {
                Kind::Blank => EntryPayload::Blank,
                Kind::Commands => EntryPayload::Normal(EntryData(parts.next().expect("counted above"))),
                Kind::Membership(membership) => EntryPayload::Membership(membership),
            };
            EntryOf::<TypeConfig> { log_id: entry.log_id, payload }
        })
        .collect();
    Ok(AppendEntriesRequest { vote: head.vote, prev_log_id: head.previous, entries, leader_commit: head.committed })
}

#[cfg(test)]
mod tests {
    use openraft::alias::CommittedLeaderIdOf;
    use openraft::{Entry, Vote};

    use super::*;

    fn log_id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
        LogIdOf::<TypeConfig>::new(CommittedLeaderIdOf::<TypeConfig>::new(term), index)
    }

    #[test]
    fn entries_of_every_kind_survive_the_way() {
        let voters = std::collections::BTreeSet::from([1_u64]);
        let node = MemberNode {
            peer: "p:1".to_owned(),
            client: "c:1".to_owned(),
            worker: "w:1".to_owned(),
            ..MemberNode::default()
        };
        let membership =
            Membership::new(vec![voters], [(1_u64, node)].into_iter().collect::<std::collections::BTreeMap<_, _>>())
                .expect("valid");
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(EntryData(Bytes::from_static(b"first"))),
            EntryPayload::Membership(membership),
            EntryPayload::Normal(EntryData(Bytes::from_static(b""))),
        ];
        let entries: Vec<EntryOf<TypeConfig>> =
            payloads.into_iter().zip(5..).map(|(payload, index)| Entry { log_id: log_id(3, index), payload }).collect();
        let request = AppendEntriesRequest::<TypeConfig> {
            vote: Vote::new_committed(3, 1),
            prev_log_id: Some(log_id(2, 4)),
            entries,
            leader_commit: None,
        };
        let shown = format!("{request:?}");
        let back = decode_append(encode_append(request)).expect("decodes");
        assert_eq!(format!("{back:?}"), shown);
        let EntryPayload::Normal(data) = &back.entries[1].payload else { panic!("kinds are mixed up") };
        assert_eq!(data.0, Bytes::from_static(b"first"));
    }
}
