//! What the databases say of themselves moves with what is done to them.

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
        key: number.to_be_bytes().to_vec(),
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
