//! A log entry as bytes: a small header, and the data as it came.
//!
//! **Invariant:** the data is neither decoded nor copied on reading; it is a slice of what RocksDB returned.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::{Entry, EntryData, EntryPayload, LogId, Membership};

/// What an entry costs in memory and in a queue beside its data.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 128;

#[derive(Serialize, Deserialize)]
struct Header {
    term: u64,
    index: u64,
    body: Body,
}

#[derive(Serialize, Deserialize)]
enum Body {
    Blank,
    /// The data is the one part behind the header.
    Normal,
    Membership(Membership),
}

/// Encodes an entry.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    let (body, parts) = match &entry.payload {
        EntryPayload::Blank => (Body::Blank, vec![]),
        EntryPayload::Normal(data) => (Body::Normal, vec![data.0.clone()]),
        EntryPayload::Membership(membership) => (Body::Membership(membership.clone()), vec![]),
    };
    let header = Header { term: **entry.log_id.committed_leader_id(), index: entry.log_id.index, body };
    codec::join(&header, &parts)
}

/// Decodes an entry and checks that it is the one asked for.
pub(crate) fn decode(index: u64, bytes: Bytes) -> Result<Entry, CodecError> {
    let (header, parts) = codec::split::<Header>(bytes)?;
    if header.index != index {
        return Err(CodecError::Header(format!("entry {} under the key of {index}", header.index)));
    }
    let payload = match (header.body, <[Bytes; 1]>::try_from(parts)) {
        (Body::Normal, Ok([data])) => EntryPayload::Normal(EntryData(data)),
        (Body::Blank, Err(parts)) if parts.is_empty() => EntryPayload::Blank,
        (Body::Membership(membership), Err(parts)) if parts.is_empty() => EntryPayload::Membership(membership),
        _ => return Err(CodecError::Lengths),
    };
    Ok(Entry { log_id: LogId::new_term_index(header.term, header.index), payload })
}

/// What an entry weighs in the tail cache and the queue.
pub(crate) fn weight(entry: &Entry) -> usize {
    ENTRY_OVERHEAD_BYTES
        + match &entry.payload {
            EntryPayload::Normal(data) => data.0.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberNode, StoredMembership, Vote};
    use std::collections::{BTreeMap, BTreeSet};

    fn samples() -> Vec<Entry> {
        let node = |name: &str| MemberNode { peer: format!("{name}:8082"), ..MemberNode::default() };
        let nodes = BTreeMap::from([(1, node("a")), (2, node("b"))]);
        let membership = Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap();
        [
            EntryPayload::Blank,
            EntryPayload::Normal(EntryData(Bytes::from_static(b"payload"))),
            EntryPayload::Normal(EntryData(Bytes::new())),
            EntryPayload::Membership(membership),
        ]
        .into_iter()
        .enumerate()
        .map(|(index, payload)| Entry { log_id: LogId::new_term_index(7, index as u64), payload })
        .collect()
    }

    #[test]
    fn entries_come_back() {
        for entry in samples() {
            assert_eq!(decode(entry.log_id.index, encode(&entry)).unwrap(), entry);
        }
    }

    /// Entries, vote, log id and membership as format 1 wrote them, whatever openraft's own types do.
    #[test]
    fn format_1_reads_and_writes_as_released() {
        let frozen = crate::fixture::lines(include_str!("../../testdata/log_entry_v1.hex"));
        let samples = samples();
        for (name, entry) in ["blank", "normal", "empty", "membership"].into_iter().zip(&samples) {
            assert_eq!(frozen[name], encode(entry), "{name}");
            assert_eq!(decode(entry.log_id.index, frozen[name].clone()).unwrap(), *entry, "{name}");
        }
        let vote = Vote::new_committed(7, 3);
        assert_eq!(frozen["vote"], codec::encode_plain(&vote));
        assert_eq!(codec::decode_plain::<Vote>(&frozen["vote"]).unwrap(), vote);
        let log_id = samples[1].log_id;
        assert_eq!(frozen["log-id"], codec::encode_plain(&log_id));
        assert_eq!(codec::decode_plain::<LogId>(&frozen["log-id"]).unwrap(), log_id);
        let EntryPayload::Membership(membership) = samples[3].payload.clone() else { panic!("a membership") };
        let stored = StoredMembership::new(Some(log_id), membership);
        assert_eq!(frozen["stored-membership"], codec::encode_plain(&stored));
        assert_eq!(codec::decode_plain::<StoredMembership>(&frozen["stored-membership"]).unwrap(), stored);
    }

    #[test]
    fn an_entry_under_the_wrong_key_is_refused() {
        assert!(decode(5, encode(&samples()[1])).is_err());
    }
}
