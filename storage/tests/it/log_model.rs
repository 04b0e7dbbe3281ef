//! Random histories against the simplest log there is: a map in memory.

use std::collections::BTreeMap;

use flame_storage::{Entry, LogId, RocksLog};
use openraft::storage::{RaftLogReader, RaftLogStorage};

use crate::directory::{append, append_only, crash_copy, entry, fast, log_id, open_log, scratch};

/// A small generator, so that a failing history can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    term: u64,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn log_id_at(&self, index: u64) -> Option<LogId> {
        self.entries.get(&index).map(|entry| entry.log_id)
    }
}

async fn check(log: &RocksLog, model: &Model, random: &mut Random) {
    assert_eq!(log.last_log_id(), model.last());
    assert_eq!(log.last_purged(), model.purged);
    let start = random.below(model.next() + 2);
    let end = start + random.below(30);
    let expected: Vec<Entry> = model.entries.range(start..end).map(|(_, entry)| entry.clone()).collect();
    assert_eq!(log.reader().try_get_log_entries(start..end).await.unwrap(), expected);
}

async fn history(seed: u64) {
    let mut random = Random(seed);
    let mut root = scratch();
    let options = |random: &mut Random| {
        let mut options = fast();
        options.tail_bytes = [0, 3000, 64 << 20][random.below(3) as usize];
        options.memtable_bytes = 256 << 10;
        options
    };
    let mut log = open_log(root.path(), options(&mut random)).unwrap();
    let mut model = Model { term: 1, ..Model::default() };
    for _ in 0..120 {
        match random.below(12) {
            0..=5 => {
                let first = model.next();
                let entries: Vec<Entry> = (first..=first + random.below(5))
                    .map(|index| entry(model.term, index, vec![seed as u8; random.below(2000) as usize]))
                    .collect();
                model.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
                if random.below(2) == 0 {
                    append(&mut log, entries).await;
                } else {
                    append_only(&mut log, entries).await;
                }
            }
            6 | 7 => {
                let first = model.purged.map_or(0, |purged| purged.index + 1);
                let keep = first + random.below(model.next() - first + 1);
                let keep = keep.checked_sub(1).and_then(|index| model.log_id_at(index)).or(model.purged);
                log.truncate_after(keep).await.unwrap();
                model.entries.retain(|index, _| Some(*index) <= keep.map(|keep| keep.index));
                model.term += 1;
            }
            8 => {
                let upto = random.below(model.next() + 3);
                let upto = model.log_id_at(upto).unwrap_or(log_id(model.term, upto));
                if model.purged.is_none_or(|purged| purged.index < upto.index) {
                    log.purge(upto).await.unwrap();
                    model.purged = Some(upto);
                    model.entries.retain(|index, _| *index > upto.index);
                }
            }
            9 => {
                drop(log);
                log = open_log(root.path(), options(&mut random)).unwrap();
            }
            10 => {
                // A crash right after an acknowledgement.
                let next = model.next();
                let durable = entry(model.term, next, "durable");
                append(&mut log, vec![durable.clone()]).await;
                model.entries.insert(next, durable);
                let copy = crash_copy(root.path());
                drop(log);
                root = copy;
                log = open_log(root.path(), options(&mut random)).unwrap();
            }
            _ => {}
        }
        check(&log, &model, &mut random).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_match_the_model() {
    for seed in 1..=12 {
        let result = tokio::spawn(history(seed)).await;
        assert!(result.is_ok(), "history({seed}) fails: {result:?}");
    }
}
