//! The format of rows, frozen: a snapshot that a release has made installs for ever, and is the state that it was.
//!
//! `testdata/frozen/level-1-rows.txt` holds what the frozen entries of `frozen.rs` leave: each row as its key and its value,
//! in hexadecimal, and the digest of the state that they are. A snapshot is these rows and nothing else. The file is never
//! edited; rows that a later level brings get a file of their own. If this test fails, older builds could not read what this
//! one writes below that level, or this one not what they have written: add a variant at the end, or a table, and write it
//! only from its level on.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_machine::row::{Row, RowChange, RowKey, Space};
use flame_machine::{Ctx, State, digest};
use flame_storage::codec;
use flame_types::{LogIndex, Term};

use super::frozen::{hex, history, unhex};

const LEVEL_1: &str = include_str!("../../testdata/frozen/level-1-rows.txt");

#[test]
fn rows_of_level_1_keep_their_bytes_and_their_meaning() {
    let (state, rows) = written();
    let lines: Vec<String> = rows.iter().map(|(key, row)| format!("{} {}", hex(&key.0), hex(row))).collect();
    let digest = format!("digest {:032x}", digest::digest(&state));
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/frozen/level-1-rows.txt");
        std::fs::write(path, format!("{}\n{digest}\n", lines.join("\n"))).expect("the file can be written");
        return;
    }
    let (frozen, expected): (Vec<&str>, Vec<&str>) = LEVEL_1.lines().partition(|line| !line.starts_with("digest "));
    assert_eq!(lines, frozen, "a row is written in other bytes than before");
    let installed = State::load(frozen.iter().map(|line| read(line))).expect("old rows belong together");
    assert_eq!(format!("digest {:032x}", digest::digest(&installed)), expected[0], "old rows are another state");
    assert_eq!(digest, expected[0], "what is written is not what is in memory");
}

#[test]
fn the_frozen_rows_are_of_memory_and_of_disk() {
    let spaces: Vec<Space> = LEVEL_1
        .lines()
        .filter(|line| !line.starts_with("digest "))
        .map(|line| read(line).0)
        .map(|key| key.table().space())
        .collect();
    assert!(spaces.contains(&Space::Live) && spaces.contains(&Space::Bulk));
}

/// The state that the frozen entries lead to, and all rows that they leave on disk.
fn written() -> (State, BTreeMap<RowKey, Bytes>) {
    let (mut state, mut rows) = (State::new(), BTreeMap::new());
    for (batch, index) in history().into_iter().zip(1..) {
        let applied = state.apply(Ctx { index: LogIndex(index), term: Term(1) }, batch);
        for change in applied.rows {
            match change {
                RowChange::Put(key, row) => drop(rows.insert(key, codec::encode(&row))),
                RowChange::Delete(key) => drop(rows.remove(&key)),
                RowChange::DeleteRange(from, to) => rows.retain(|key, _| *key < from || *key >= to),
            }
        }
    }
    (state, rows)
}

fn read(line: &str) -> (RowKey, Row) {
    let (key, value) = line.split_once(' ').expect("a key and a value");
    let row = codec::decode(unhex(value)).expect("an old row can be read");
    (RowKey(unhex(key).to_vec()), row)
}
