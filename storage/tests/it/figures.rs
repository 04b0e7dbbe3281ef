//! What the databases say of themselves moves with what is done to them.

use std::time::Duration;

use bytes::Bytes;
use flame_storage::{DatabaseFigures, Space, StateOptions, StateStore, Write};

use crate::directory::{append, fast, log_id, open_log, scratch, small};

/// RocksDB knows every figure that is asked for: a property of another name would be NaN.
fn check_known(figures: &DatabaseFigures) {
    assert!(!format!("{figures:?}").contains("NaN"), "{figures:?}");
    assert_eq!((figures.writes_stopped, figures.writes_delayed), (0.0, 0.0));
}

#[tokio::test]
async fn the_log_says_what_it_holds() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    let meter = log.meter();
    let before = meter.figures();
    check_known(&before.database);
    assert_eq!((before.bytes, before.tail_bytes, before.queue_bytes), (0, 0, 0));

    append(&mut log, (0..100).map(|index| small(1, index)).collect()).await;
    let after = meter.figures();
    check_known(&after.database);
    assert_eq!(after.bytes, after.tail_bytes as u64, "all of it is in memory");
    assert!(after.tail_bytes > 100 * 100, "{after:?}");
    assert!(after.database.memtable_bytes > before.database.memtable_bytes, "{before:?}\n{after:?}");
}

#[test]
fn the_rows_say_what_they_hold() {
    let root = scratch();
    let store = StateStore::open(root.path(), StateOptions::default()).unwrap();
    let before = store.figures();
    check_known(&before);
    let put = |number: u64| Write::Put {
        space: Space::Bulk,
        key: number.to_be_bytes().to_vec().into(),
        value: Bytes::from(vec![b'x'; 1000]),
    };
    store.write(&(0..100).map(put).collect::<Vec<_>>(), log_id(1, 1), None).unwrap();
    assert!(store.figures().memtable_bytes > before.memtable_bytes);

    store.flush().unwrap();
    let flushed = store.figures();
    check_known(&flushed);
    assert!(flushed.files_at_level.iter().sum::<f64>() > before.files_at_level.iter().sum(), "{flushed:?}");
    assert!(flushed.file_bytes > before.file_bytes, "{flushed:?}");
}

/// Most time for RocksDB to merge four small files.
const COMPACTION_LIMIT: Duration = Duration::from_secs(20);

/// Otherwise the cache fills with blocks of files that compaction has replaced, for as long as a node works.
#[tokio::test]
async fn blocks_of_files_that_are_gone_leave_the_cache() {
    const ROWS: u64 = 2_000;
    let root = scratch();
    let store = StateStore::open(root.path(), StateOptions::default()).unwrap();
    let mut index = 0;
    let mut write_and_read_all = || {
        index += 1;
        // No two rounds are alike, nor can they be compressed to nothing.
        let round = index;
        let word = move |number: u64, at: u64| (number * at * round).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        let value = |number: u64| (0..125).flat_map(move |at| word(number, at));
        let put = |number: u64| Write::Put {
            space: Space::Bulk,
            key: number.to_be_bytes().to_vec().into(),
            value: value(number).collect::<Vec<u8>>().into(),
        };
        store.write(&(0..ROWS).map(put).collect::<Vec<_>>(), log_id(1, index), None).unwrap();
        store.flush().unwrap();
        assert_eq!(store.reader().scan(Space::Bulk, b"", b"", usize::MAX).unwrap().len() as u64, ROWS);
    };
    write_and_read_all();
    let one_round = store.block_bytes();
    assert!(one_round > 1_000_000, "what was read is in the cache: {one_round} bytes");
    for _ in 1..8 {
        write_and_read_all();
    }
    let files = || store.figures().files_at_level;
    let merged = async {
        while files()[0] >= 4.0 || store.block_bytes() > 5 * one_round {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(COMPACTION_LIMIT, merged).await;
    assert!(in_time.is_ok(), "{} bytes of blocks, files {:?}", store.block_bytes(), files());
}
