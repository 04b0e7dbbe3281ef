//! Group commit, order, reads, purge, truncation, and the end after a failed write.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flame_metrics::Stopwatch;
use flame_storage::{Entry, Error, Fatal, Hook, LogOptions, LogReader, RocksLog, TypeConfig, Vote};
use flame_types::LogIndex;
use futures::{FutureExt, StreamExt};
use openraft::storage::{IOFlushed, LeaderBoundedStreamError, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::directory::{
    append, append_only, crash_copy, entry, eventually, fast, files_ending, log_id, open_log, scratch, small,
};

/// Counts the groups, holds them, lets them fail.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    begun: AtomicUsize,
    done: AtomicUsize,
    fail_before: AtomicBool,
    fail_after: AtomicBool,
}

impl Gate {
    fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }
}

impl Hook for Gate {
    fn before_write(&self) -> io::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.shut.lock().unwrap();
        while *shut {
            shut = self.opened.wait(shut).unwrap();
        }
        if self.fail_before.load(Ordering::SeqCst) { Err(io::Error::other("no space left")) } else { Ok(()) }
    }

    fn after_sync(&self) -> io::Result<()> {
        self.done.fetch_add(1, Ordering::SeqCst);
        if self.fail_after.load(Ordering::SeqCst) { Err(io::Error::other("sync failed")) } else { Ok(()) }
    }
}

async fn indexes(log: &RocksLog, range: std::ops::Range<u64>) -> Vec<u64> {
    let entries = log.reader().try_get_log_entries(range).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// Appends one entry and returns what hears of its durability.
async fn append_watched(log: &mut RocksLog, entry: Entry) -> futures::future::BoxFuture<'static, io::Result<()>> {
    let (tx, rx) = TypeConfig::oneshot();
    log.append([entry], IOFlushed::signal(tx)).await.unwrap();
    Box::pin(async move { rx.await.expect("the callback is called") })
}

#[tokio::test]
async fn what_waits_is_one_group_and_callbacks_come_in_order() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let mut log = open_log(root.path(), fast().hook_for_tests_only(gate.clone())).unwrap();

    // The first group holds the writer.
    gate.shut();
    let mut first = append_watched(&mut log, small(1, 0)).await;
    eventually("the writer to take the first group", || gate.begun.load(Ordering::SeqCst) == 1).await;

    // All that follows gathers: readable at once, durable not yet.
    let mut callbacks = Vec::new();
    for index in 1..10 {
        callbacks.push(append_watched(&mut log, small(1, index)).await);
    }
    assert_eq!(indexes(&log, 0..99).await, Vec::from_iter(0..10));
    assert!((&mut first).now_or_never().is_none());
    assert!(callbacks.iter_mut().all(|callback| callback.now_or_never().is_none()));

    // The last callback stands for all before it.
    gate.open();
    callbacks.pop().unwrap().await.unwrap();
    first.now_or_never().expect("fired before the last").unwrap();
    for callback in callbacks {
        callback.now_or_never().expect("fired before the last").unwrap();
    }
    assert_eq!(gate.done.load(Ordering::SeqCst), 2, "ten appends, two groups");
}

#[tokio::test]
async fn a_vote_is_durable_when_saved_and_so_is_all_before_it() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let mut log = open_log(root.path(), LogOptions::default().hook_for_tests_only(gate.clone())).unwrap();
    gate.shut();
    let mut appended = append_watched(&mut log, small(1, 0)).await;
    {
        let vote = Vote::new(2, 1);
        let mut saving = Box::pin(log.save_vote(&vote));
        assert!((&mut saving).now_or_never().is_none(), "the writer is held");
        gate.open();
        saving.await.unwrap();
    }
    (&mut appended).now_or_never().expect("the append before the vote is durable").unwrap();
    let copy = crash_copy(root.path());
    let again = open_log(copy.path(), fast()).unwrap();
    assert_eq!(again.vote(), Some(Vote::new(2, 1)));
    assert_eq!(again.last_log_id(), Some(log_id(1, 0)));
}

/// A log of node 1 that follows node 2.
async fn following(root: &Path, options: LogOptions) -> RocksLog {
    let mut log = open_log(root, options).unwrap();
    log.save_vote(&Vote::new_committed(1, 2)).await.unwrap();
    log
}

#[tokio::test]
async fn a_small_append_of_a_follower_is_durable_when_it_returns() {
    let root = scratch();
    let mut log = following(root.path(), LogOptions::default()).await;
    let appended = append_watched(&mut log, small(1, 0)).await;
    appended.now_or_never().expect("it was told before append returned").unwrap();
    assert_eq!(open_log(crash_copy(root.path()).path(), fast()).unwrap().last_log_id(), Some(log_id(1, 0)));
}

#[tokio::test]
async fn a_small_append_does_not_overtake_what_waits() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let mut log = following(root.path(), fast().hook_for_tests_only(gate.clone())).await;
    gate.shut();
    let large = append_watched(&mut log, entry(1, 0, vec![0; 1 << 20])).await;
    let since = Stopwatch::start();
    eventually("the small one to come long after it", || since.elapsed() > Duration::from_millis(5)).await;
    let mut small = append_watched(&mut log, small(1, 1)).await;
    assert!((&mut small).now_or_never().is_none(), "it is queued behind the large one");
    gate.open();
    small.await.unwrap();
    large.now_or_never().expect("fired before the small one").unwrap();
}

#[tokio::test]
async fn a_leader_does_not_wait_for_its_own_disk() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let mut log = open_log(root.path(), fast().hook_for_tests_only(gate.clone())).unwrap();
    log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    gate.shut();
    let mut appended = append_watched(&mut log, small(1, 0)).await;
    assert!((&mut appended).now_or_never().is_none());
    gate.open();
    appended.await.unwrap();
}

#[tokio::test]
async fn an_append_that_fails_where_it_is_called_ends_the_log() {
    let root = scratch();
    let (gate, fatal) = (Arc::new(Gate::default()), Fatal::new());
    let options = fast().hook_for_tests_only(gate.clone()).with_fatal(fatal.clone());
    let mut log = following(root.path(), options).await;
    gate.fail_before.store(true, Ordering::SeqCst);
    let appended = append_watched(&mut log, small(1, 0)).await;
    appended.now_or_never().expect("it was told").unwrap_err();
    assert!(fatal.raised().await.to_string().contains("no space left"));
    assert!(log.append([small(1, 1)], IOFlushed::noop()).await.is_err());
}

#[tokio::test]
async fn appends_wait_for_room_in_the_queue() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let mut options = fast().hook_for_tests_only(gate.clone());
    options.queue_bytes = 1000;
    let mut log = open_log(root.path(), options).unwrap();
    gate.shut();
    append_only(&mut log, vec![entry(1, 0, vec![0; 5000])]).await;
    {
        let mut second = Box::pin(log.append([small(1, 1)], IOFlushed::noop()));
        assert!((&mut second).now_or_never().is_none(), "the queue is full");
        gate.open();
        second.await.unwrap();
    }
    assert_eq!(indexes(&log, 0..9).await, [0, 1]);
}

#[tokio::test]
async fn after_a_failed_write_everything_fails() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let fatal = Fatal::new();
    let options = fast().hook_for_tests_only(gate.clone()).with_fatal(fatal.clone());
    let mut log = open_log(root.path(), options).unwrap();
    append(&mut log, vec![small(1, 0)]).await;
    assert_eq!(fatal.cause(), None);

    gate.fail_before.store(true, Ordering::SeqCst);
    let failed = append_watched(&mut log, small(1, 1)).await;
    assert!(failed.await.is_err());
    assert!(fatal.raised().await.to_string().contains("no space left"));

    // The disk has recovered; the log must not believe it.
    gate.fail_before.store(false, Ordering::SeqCst);
    let groups = gate.begun.load(Ordering::SeqCst);
    assert!(log.append([small(1, 2)], IOFlushed::noop()).await.is_err());
    assert!(log.save_vote(&Vote::new(9, 9)).await.is_err());
    assert!(log.truncate_after(None).await.is_err());
    assert!(log.purge(log_id(1, 0)).await.is_err());
    assert!(log.reader().try_get_log_entries(0..9).await.is_err());
    assert_eq!(gate.begun.load(Ordering::SeqCst), groups, "nothing was tried again");
    drop(log);
    assert_eq!(open_log(root.path(), fast()).unwrap().last_log_id(), Some(log_id(1, 0)));
}

#[tokio::test]
async fn a_failed_sync_is_an_unknown_outcome() {
    let root = scratch();
    let gate = Arc::new(Gate::default());
    let fatal = Fatal::new();
    let options = fast().hook_for_tests_only(gate.clone()).with_fatal(fatal.clone());
    let mut log = open_log(root.path(), options).unwrap();
    gate.fail_after.store(true, Ordering::SeqCst);
    assert!(append_watched(&mut log, small(1, 0)).await.await.is_err());
    assert!(log.save_vote(&Vote::new(9, 9)).await.is_err());
    drop(log);
    let again = open_log(root.path(), fast()).unwrap();
    assert_eq!(again.last_log_id(), Some(log_id(1, 0)), "the failed write is there all the same");
    assert_eq!(again.vote(), None);
}

#[tokio::test]
async fn reads_that_may_stop_early_are_capped_by_bytes() {
    let root = scratch();
    for tail_bytes in [0, 64 << 20] {
        let dir = root.path().join(tail_bytes.to_string());
        let mut options = fast();
        options.tail_bytes = tail_bytes;
        let mut log = open_log(&dir, options).unwrap();
        append(&mut log, (0..10).map(|index| entry(1, index, vec![7; 300_000])).collect()).await;
        append(&mut log, vec![entry(1, 10, vec![8; 3_000_000]), small(1, 11)]).await;
        let mut reader = log.reader();
        assert_eq!(reader.limited_get_log_entries(0, 12).await.unwrap().len(), 3, "a mebibyte");
        assert_eq!(reader.limited_get_log_entries(10, 12).await.unwrap().len(), 1, "at least one");
        assert_eq!(reader.limited_get_log_entries(11, 12).await.unwrap().len(), 1);
        assert_eq!(reader.limited_get_log_entries(12, 12).await.unwrap().len(), 0);
        assert_eq!(reader.try_get_log_entries(..).await.unwrap().len(), 12, "no cap where none is allowed");
        let streamed: Vec<_> =
            reader.entries_stream(2..).await.map(|entry| entry.unwrap().log_id.index).collect().await;
        assert_eq!(streamed, Vec::from_iter(2..12));
    }
}

#[tokio::test]
async fn data_is_shared_not_copied_while_it_is_in_memory() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    let data = Bytes::from(vec![1; 1000]);
    append(&mut log, vec![entry(1, 0, data.clone())]).await;
    let read = log.reader().try_get_log_entries(0..1).await.unwrap();
    let openraft::EntryPayload::Normal(found) = &read[0].payload else { panic!("a normal entry") };
    assert_eq!(found.0.as_ptr(), data.as_ptr());
}

#[tokio::test]
async fn a_stream_bound_to_a_leader_ends_with_it() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    append(&mut log, (0..5).map(|index| small(1, index)).collect()).await;
    let leader = *Vote::new_committed(1, 1).leader_id();
    log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
    let mut reader: LogReader = log.reader();
    let mut stream = Box::pin(reader.leader_bounded_stream(leader, 0..5).await);
    assert_eq!(stream.next().await.unwrap().unwrap().log_id.index, 0);
    log.save_vote(&Vote::new(2, 2)).await.unwrap();
    let ended = stream.next().await.unwrap();
    assert!(matches!(ended, Err(LeaderBoundedStreamError::LeaderChanged(_))), "{ended:?}");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn every_purge_position_survives_reopening() {
    let root = scratch();
    for purged in 0..10_u64 {
        let dir = root.path().join(purged.to_string());
        let mut log = open_log(&dir, fast()).unwrap();
        append(&mut log, (0..10).map(|index| small(1, index)).collect()).await;
        log.purge(log_id(1, purged)).await.unwrap();
        assert_eq!(indexes(&log, 0..99).await, Vec::from_iter(purged + 1..10));
        drop(log);
        let mut log = open_log(&dir, fast()).unwrap();
        assert_eq!(log.last_purged(), Some(log_id(1, purged)));
        assert_eq!(log.last_log_id(), Some(log_id(1, 9)));
        assert_eq!(indexes(&log, 0..99).await, Vec::from_iter(purged + 1..10));
        append(&mut log, vec![small(2, 10)]).await;
        assert_eq!(indexes(&log, 0..99).await, Vec::from_iter(purged + 1..11));
        assert!(log.check_applied(Some(&log_id(1, purged))).is_ok());
        assert!(log.check_applied(Some(&log_id(2, 10))).is_ok());
        assert!(matches!(log.check_applied(None), Err(Error::LostState { .. })));
    }
}

#[tokio::test]
async fn a_purge_beyond_the_end_is_the_new_start() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    append(&mut log, (0..5).map(|index| small(1, index)).collect()).await;
    log.purge(log_id(3, 100)).await.unwrap();
    drop(log);
    let mut log = open_log(root.path(), fast()).unwrap();
    assert_eq!(log.last_log_id(), Some(log_id(3, 100)));
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(3, 100)));
    assert!(log.append([small(3, 102)], IOFlushed::noop()).await.is_err(), "a hole");
    append(&mut log, vec![small(3, 101)]).await;
    drop(log);
    assert_eq!(indexes(&open_log(root.path(), fast()).unwrap(), 0..999).await, [101]);
}

#[tokio::test]
async fn truncation_makes_room_for_another_history() {
    let root = scratch();
    let mut options = fast();
    options.tail_bytes = 0;
    let mut log = open_log(root.path(), options).unwrap();
    append(&mut log, (0..10).map(|index| small(1, index)).collect()).await;
    log.truncate_after(Some(log_id(1, 3))).await.unwrap();
    assert_eq!(indexes(&log, 0..99).await, [0, 1, 2, 3]);
    append(&mut log, (4..6).map(|index| small(2, index)).collect()).await;
    let read = log.reader().try_get_log_entries(3..6).await.unwrap();
    assert_eq!(read, [small(1, 3), small(2, 4), small(2, 5)]);
    drop(log);
    let mut log = open_log(root.path(), fast()).unwrap();
    assert_eq!(log.reader().try_get_log_entries(3..).await.unwrap(), read);

    // A truncation alone is no amnesia: its floor went down before it.
    log.truncate_after(None).await.unwrap();
    drop(log);
    let log = open_log(root.path(), fast()).unwrap();
    assert_eq!(log.last_log_id(), None);
    assert_eq!(indexes(&log, 0..99).await, Vec::<u64>::new());
}

#[tokio::test]
async fn the_committed_log_id_rides_along_and_never_points_behind_the_end() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    append(&mut log, (0..5).map(|index| small(1, index)).collect()).await;
    log.save_committed(Some(log_id(1, 3))).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 3)));
    append(&mut log, vec![small(1, 5)]).await;
    drop(log);
    let mut log = open_log(root.path(), fast()).unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 3)));
    log.save_committed(Some(log_id(1, 50))).await.unwrap();
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    drop(log);
    let mut log = open_log(root.path(), fast()).unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 5)));
}

#[tokio::test]
async fn the_meter_finds_the_index_that_leaves_so_many_bytes() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    let meter = log.meter();
    append(&mut log, (0..12).map(|index| entry(1, index, vec![7; 500_000])).collect()).await;
    assert!(meter.bytes() >= 6_000_000);
    let upto = meter.index_leaving(2_000_000).unwrap();
    assert!((4..8).contains(&upto.0), "{upto}");
    log.purge(log_id(1, upto.0)).await.unwrap();
    assert_eq!(meter.purged(), Some(upto));
    assert!((2_000_000..5_000_000).contains(&meter.bytes()));
    let before = meter.bytes();
    drop((log, meter));
    let log = open_log(root.path(), fast()).unwrap();
    assert!(log.meter().bytes().abs_diff(before) < 10_000, "counted again at opening");
    assert_eq!(log.meter().index_leaving(1 << 40), None);
    assert!(log.meter().index_leaving(0) > Some(LogIndex(8)));
}

#[tokio::test]
async fn purged_files_leave_the_disk() {
    let root = scratch();
    let mut options = fast();
    options.memtable_bytes = 1 << 20;
    let mut log = open_log(root.path(), options).unwrap();
    let sst_bytes = || -> u64 {
        files_ending(&root.path().join("log"), ".sst")
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|m| m.len())
            .sum()
    };
    for index in 0..40 {
        append(&mut log, vec![entry(1, index, vec![7; 100_000])]).await;
    }
    eventually("flushed files", || sst_bytes() > 2_000_000).await;
    log.purge(log_id(1, 39)).await.unwrap();
    // Later files push the purged ones out: a purge frees whole files, the last one stays until a compaction.
    let mut index = 40;
    eventually("freed files", || {
        sst_bytes() < 1_000_000 || {
            futures::executor::block_on(async {
                append_only(&mut log, vec![entry(1, index, vec![7; 1000])]).await;
                log.purge(log_id(1, index)).await.unwrap();
                index += 1;
            });
            false
        }
    })
    .await;
}
