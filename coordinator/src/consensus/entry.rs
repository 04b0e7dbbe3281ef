//! What a log entry holds: a small header and encoded commands side by side. The leader puts an entry together from
//! commands that clients' gateways encoded, without decoding them; every node decodes them once, when it applies the
//! entry, and payloads stay slices of the entry's bytes.

use bytes::Bytes;
use flame_machine::command::{Batch, Item};
use flame_storage::codec::{self, CodecError};
use flame_types::WallMs;
use serde::{Deserialize, Serialize};

/// What the proposer stamps on an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHeader {
    /// Wall time of the proposer, for display.
    pub wall_ms: WallMs,
    /// How far cluster time advances with this entry, in milliseconds.
    pub cluster_delta_ms: u32,
}

/// An entry of these commands, each one `codec::encode(&Item)`.
#[must_use]
pub fn encode_entry(header: &BatchHeader, items: &[Bytes]) -> Bytes {
    codec::join(header, items)
}

/// The commands of an entry.
///
/// # Errors
/// The bytes are damaged, or were written by a newer release.
pub fn decode_entry(entry: Bytes) -> Result<Batch, CodecError> {
    let (header, parts) = codec::split::<BatchHeader>(entry)?;
    let items = parts.into_iter().map(codec::decode::<Item>).collect::<Result<Vec<_>, _>>()?;
    Ok(Batch { wall_ms: header.wall_ms, cluster_delta_ms: header.cluster_delta_ms, items })
}

#[cfg(test)]
mod tests {
    use flame_machine::command::Command;
    use flame_types::{ClientId, Seq};

    use super::*;

    #[test]
    fn an_entry_gives_back_its_commands_in_order() {
        let items: Vec<Item> = (1..=3)
            .map(|seq| Item { client: ClientId(7), seq: Seq(seq), below: Seq(1), command: Command::Void })
            .collect();
        let header = BatchHeader { wall_ms: WallMs(123), cluster_delta_ms: 45 };
        let encoded: Vec<Bytes> = items.iter().map(codec::encode).collect();
        let batch = decode_entry(encode_entry(&header, &encoded)).expect("decodes");
        assert_eq!(batch, Batch { wall_ms: WallMs(123), cluster_delta_ms: 45, items });
    }

    #[test]
    fn a_damaged_entry_is_noticed() {
        let entry = encode_entry(&BatchHeader::default(), &[]);
        let mut bytes = entry.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(decode_entry(Bytes::from(bytes)).is_err());
    }
}
