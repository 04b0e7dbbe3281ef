//! Two slots in one file, written in turns, so that one of them is always whole.
//!
//! A *synced* write goes to the slot that is not the anchor, and that slot then becomes the anchor. An *unsynced* write
//! goes to the slot that is not the anchor too, but the anchor stays: whatever a power cut does to the unsynced slot,
//! the anchor is there. After the death of the process alone the page cache still holds the unsynced one, exactly.
//!
//! **Invariant:** the anchor is never overwritten before another slot is durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;

/// Room for one slot: far above what an identity with all its peers needs.
pub(crate) const SLOT_BYTES: usize = 16 * 1024;

const SLOTS: usize = 2;

#[derive(Serialize, Deserialize)]
struct Slot<T> {
    /// Grows with every write; the higher one is the newer.
    sequence: u64,
    value: T,
}

/// What a file with slots was found to hold.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// No slot was ever written.
    Nothing,
    /// The newest whole slot.
    Value(T),
    /// Something was written and nothing whole is left.
    Damaged(String),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Slots {
    file: File,
    sequence: u64,
    anchor: usize,
}

impl Slots {
    /// Opens or makes the file and reads the newest whole slot.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> io::Result<(Self, Found<T>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut best: Option<(u64, usize, T)> = None;
        let mut damage = Vec::new();
        for index in 0..SLOTS {
            let Some(slot) = read_slot::<T>(&file, index)? else { continue };
            let newest = best.as_ref().map_or(0, |(sequence, ..)| *sequence);
            match slot {
                Ok(slot) if slot.sequence > newest => best = Some((slot.sequence, index, slot.value)),
                Ok(_) => {}
                Err(why) => damage.push(format!("slot {index}: {why}")),
            }
        }
        let (sequence, anchor, found) = match best {
            Some((sequence, index, value)) => {
                // What was read may be in the page cache only; the next write must not find it unsaved.
                file.sync_all()?;
                (sequence, index, Found::Value(value))
            }
            None if damage.is_empty() => (0, SLOTS - 1, Found::Nothing),
            None => (0, SLOTS - 1, Found::Damaged(damage.join(", "))),
        };
        Ok((Self { file, sequence, anchor }, found))
    }

    /// Writes into the slot beside the anchor, without waiting for the disk.
    pub(crate) fn write_unsynced<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        self.sequence += 1;
        let bytes = codec::encode_plain(&Slot { sequence: self.sequence, value });
        if bytes.len() > SLOT_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the identity outgrew its slot"));
        }
        self.file.write_all_at(&bytes, (self.beside() * SLOT_BYTES) as u64)
    }

    /// Writes into the slot beside the anchor and makes it durable; it is the anchor from then on.
    pub(crate) fn write_synced<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        self.write_unsynced(value)?;
        self.file.sync_all()?;
        self.anchor = self.beside();
        Ok(())
    }

    fn beside(&self) -> usize {
        (self.anchor + 1) % SLOTS
    }
}

/// `None` for a slot that was never written.
fn read_slot<T: DeserializeOwned>(file: &File, index: usize) -> io::Result<Option<Result<Slot<T>, String>>> {
    let mut bytes = vec![0; SLOT_BYTES];
    let mut have = 0;
    while have < SLOT_BYTES {
        match file.read_at(&mut bytes[have..], (index * SLOT_BYTES + have) as u64)? {
            0 => break,
            count => have += count,
        }
    }
    bytes.truncate(have);
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let Some(length) = codec::framed_bytes(&bytes).filter(|length| *length <= bytes.len()) else {
        return Ok(Some(Err("no value".into())));
    };
    Ok(Some(codec::decode_plain(&bytes[..length]).map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(found: Found<u64>) -> u64 {
        match found {
            Found::Value(value) => value,
            other => panic!("{other:?}"),
        }
    }

    fn flip(path: &Path, at: usize) {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_torn_unsynced_write_leaves_the_anchor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        let (mut slots, found) = Slots::open::<u64>(&path).unwrap();
        assert!(matches!(found, Found::Nothing));
        slots.write_synced(&1_u64).unwrap();
        slots.write_unsynced(&2_u64).unwrap();
        slots.write_unsynced(&3_u64).unwrap();
        assert_eq!(value(Slots::open(&path).unwrap().1), 3, "unsynced writes survive the process");
        flip(&path, SLOT_BYTES + 12);
        assert_eq!(value(Slots::open(&path).unwrap().1), 1, "and their loss leaves the synced one");
        flip(&path, 12);
        assert!(matches!(Slots::open::<u64>(&path).unwrap().1, Found::Damaged(_)));
    }

    #[test]
    fn synced_writes_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        let (mut slots, _) = Slots::open::<u64>(&path).unwrap();
        for number in 1..=5_u64 {
            slots.write_synced(&number).unwrap();
            let (mut again, found) = Slots::open(&path).unwrap();
            assert_eq!(value(found), number);
            assert_eq!(again.anchor, slots.anchor);
            again.sequence += 1;
        }
        flip(&path, 12);
        assert_eq!(value(Slots::open(&path).unwrap().1), 4, "number 5 lay in the first slot");
    }
}
