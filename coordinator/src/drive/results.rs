//! Results as they are recorded, for those who follow a session: task, state, and what the service gave, straight from
//! apply. An entry's results are gathered once and shared by all who follow the session.
//!
//! A reader that falls too far behind is told that results were *lost* on the way to it. They are on disk: it reads on
//! from the last position it has passed on. The same happens to all who are behind when, together, they hold more than
//! the memory budget gives to results.
//!
//! **Invariant:** what waits for readers holds no log entry: small outputs are copied out of it, so that a hundred bytes
//! do not keep a megabyte alive.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use flame_machine::event::Event;
use flame_types::{Generation, LogIndex, Payload, SessionKey, TaskNo, TaskState};

use super::mailbox::{Followers, Reader};

/// Most entries that wait for one reader.
const ENTRIES_WAITING_MAX: usize = 128;

/// Most bytes that wait for one reader. One entry may have more, alone.
const BYTES_WAITING_MAX: usize = 8 << 20;

/// A reader takes entries until it has so many bytes: what it has in hand is counted nowhere else.
const BYTES_PER_TAKE: usize = 256 << 10;

/// Outputs up to this size are copied out of the entry that they came in; larger ones are most of theirs.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// What a task counts beside its output and its message.
const TASK_BYTES: usize = 64;

/// A task that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTask {
    /// Its number.
    pub task: TaskNo,
    /// Succeed, Failed or Cancelled.
    pub state: TaskState,
    /// What its service gave.
    pub output: Option<Payload>,
    /// What its service said, or why it failed.
    pub message: Option<String>,
}

impl EndedTask {
    /// One that was cancelled before it ran.
    #[must_use]
    pub fn cancelled(task: TaskNo) -> Self {
        Self { task, state: TaskState::Cancelled, output: None, message: None }
    }
}

/// What one entry ended in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryResults {
    /// Where it stands in the log.
    pub at: (Generation, LogIndex),
    /// Tasks that ended one by one.
    pub ended: Vec<EndedTask>,
    /// Ranges that were cancelled together before they ran.
    pub cancelled: Vec<(TaskNo, TaskNo)>,
}

impl EntryResults {
    fn new(at: (Generation, LogIndex)) -> Self {
        Self { at, ended: Vec::new(), cancelled: Vec::new() }
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let ended = self.ended.iter().map(|ended| {
            TASK_BYTES + ended.output.as_ref().map_or(0, Payload::len) + ended.message.as_ref().map_or(0, String::len)
        });
        ended.sum::<usize>() + TASK_BYTES * self.cancelled.len()
    }

    /// Lets go of the entry that the small outputs lie in.
    fn copy_small_outputs(&mut self) {
        let small = |output: &&mut Payload| output.len() <= COPIED_BYTES_MAX;
        let outputs = || self.ended.iter().filter_map(|ended| ended.output.as_ref());
        let bytes = outputs().map(Payload::len).filter(|bytes| *bytes <= COPIED_BYTES_MAX).sum();
        let mut copied = BytesMut::with_capacity(bytes);
        for output in self.ended.iter_mut().filter_map(|ended| ended.output.as_mut()).filter(small) {
            copied.extend_from_slice(&output.0);
            *output = Payload(copied.split().freeze());
        }
    }
}

/// Bytes that wait for all readers of the node.
#[derive(Clone)]
pub(super) struct ResultsRoom(Arc<Counted>);

struct Counted {
    bytes: AtomicUsize,
    max: usize,
}

impl ResultsRoom {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Counted { bytes: AtomicUsize::new(0), max }))
    }

    fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn is_exceeded(&self) -> bool {
        self.bytes() > self.0.max
    }
}

/// What waits for one reader.
pub(super) struct Following {
    /// Each with what it counts.
    entries: VecDeque<(Arc<EntryResults>, usize)>,
    bytes: usize,
    room: ResultsRoom,
    lost: bool,
    gone: bool,
    stopped: bool,
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultsChange {
    /// Results, entry by entry, in the order of the log.
    Entries(Vec<Arc<EntryResults>>),
    /// Some were not kept for this reader: read on from disk.
    Lost,
    /// The session and its tasks are gone.
    Gone,
    /// This node stops serving.
    Stopped,
}

/// The results of one session from the moment of following it.
pub struct Results(Reader<Following>);

impl Results {
    pub(super) fn new(reader: Reader<Following>) -> Self {
        Self(reader)
    }

    /// What came next. [`ResultsChange::Gone`] and [`ResultsChange::Stopped`] come again with every call.
    pub async fn next(&mut self) -> ResultsChange {
        self.0.next(Following::take).await
    }
}

impl Following {
    pub(super) fn new(room: &ResultsRoom) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, room: room.clone(), lost: false, gone: false, stopped: false }
    }

    fn add(&mut self, entry: &Arc<EntryResults>, bytes: usize) {
        if self.lost {
            return;
        }
        let is_full = self.entries.len() == ENTRIES_WAITING_MAX || self.bytes + bytes > BYTES_WAITING_MAX;
        if is_full && !self.entries.is_empty() {
            return self.forget();
        }
        self.bytes += bytes;
        self.room.add(bytes);
        self.entries.push_back((entry.clone(), bytes));
    }

    /// Results did not or will not reach this reader.
    pub(super) fn forget(&mut self) {
        self.entries = VecDeque::new();
        self.room.give_back(std::mem::take(&mut self.bytes));
        self.lost = true;
    }

    /// The same for one that is behind; whoever has taken everything has lost nothing.
    fn forget_waiting(&mut self) {
        if !self.entries.is_empty() {
            self.forget();
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    fn take(&mut self) -> Option<ResultsChange> {
        if std::mem::take(&mut self.lost) {
            return Some(ResultsChange::Lost);
        }
        if !self.entries.is_empty() {
            return Some(ResultsChange::Entries(self.take_entries()));
        }
        if self.gone {
            return Some(ResultsChange::Gone);
        }
        self.stopped.then_some(ResultsChange::Stopped)
    }

    /// The first entries, at least one.
    fn take_entries(&mut self) -> Vec<Arc<EntryResults>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_PER_TAKE
            && let Some((entry, size)) = self.entries.pop_front()
        {
            bytes += size;
            taken.push(entry);
        }
        self.bytes -= bytes;
        self.room.give_back(bytes);
        taken
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

/// Gathers the results of one entry by session and hands them to those who follow it.
pub(super) fn publish_results(
    followers: &Followers<'_, Following>,
    room: &ResultsRoom,
    at: (Generation, LogIndex),
    events: &[Event],
) {
    let mut by_session: BTreeMap<SessionKey, EntryResults> = BTreeMap::new();
    for event in events {
        let session = event.session();
        if !followers.has(session) {
            continue;
        }
        let of_session = by_session.entry(session);
        match event {
            Event::Ended { task, state, output, message, .. } => {
                let (output, message) = (output.clone(), message.clone());
                let ended = EndedTask { task: *task, state: *state, output, message };
                of_session.or_insert_with(|| EntryResults::new(at)).ended.push(ended);
            }
            Event::Tasks { first, last, state: TaskState::Cancelled, .. } => {
                of_session.or_insert_with(|| EntryResults::new(at)).cancelled.push((*first, *last));
            }
            Event::SessionGone { .. } => followers.put(session, |following| following.gone = true),
            Event::Task { .. } | Event::Tasks { .. } | Event::Session { .. } => {}
        }
    }
    for (session, mut results) in by_session {
        results.copy_small_outputs();
        let bytes = results.bytes();
        let results = Arc::new(results);
        followers.put(session, |following| following.add(&results, bytes));
        if room.is_exceeded() {
            // All at once, and rarely: it leaves nothing waiting.
            followers.put_to_all(Following::forget_waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::events::EventHub;

    const SESSION: SessionKey = SessionKey(7);

    fn ended(task: u64, output: Vec<u8>) -> Event {
        Event::Ended {
            session: SESSION,
            task: TaskNo(task),
            state: TaskState::Succeed,
            attempt: 1,
            output: Some(output.into()),
            message: None,
        }
    }

    fn hub() -> EventHub {
        EventHub::new(64 << 20)
    }

    fn at(index: u64) -> (Generation, LogIndex) {
        (Generation(1), LogIndex(index))
    }

    #[tokio::test]
    async fn results_come_entry_by_entry_with_their_outputs() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        hub.publish(at(4), &[ended(1, b"a".to_vec()), ended(2, b"b".to_vec())]);
        hub.publish(at(5), &[Event::Task { session: SESSION, task: TaskNo(3), state: TaskState::Running, attempt: 1 }]);
        hub.publish(at(6), &[ended(3, b"c".to_vec())]);
        let ResultsChange::Entries(entries) = results.next().await else { panic!("no results") };
        let seen: Vec<_> = entries.iter().map(|entry| (entry.at.1.0, entry.ended.len())).collect();
        assert_eq!(seen, [(4, 2), (6, 1)]);
        assert_eq!(entries[1].ended[0].output, Some(Payload::from("c")));
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_and_goes_on() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        for index in 0..=ENTRIES_WAITING_MAX as u64 {
            hub.publish(at(index), &[ended(index + 1, Vec::new())]);
        }
        assert_eq!(results.next().await, ResultsChange::Lost);
        hub.publish(at(900), &[ended(900, Vec::new())]);
        assert!(matches!(results.next().await, ResultsChange::Entries(entries) if entries.len() == 1));
    }

    #[tokio::test]
    async fn outputs_that_wait_are_bounded_by_their_bytes() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        hub.publish(at(1), &[ended(1, vec![0; BYTES_WAITING_MAX])]);
        hub.publish(at(2), &[ended(2, vec![0])]);
        assert_eq!(results.next().await, ResultsChange::Lost);
    }

    #[tokio::test]
    async fn a_reader_takes_a_piece_at_a_time_and_misses_nothing() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        for index in 0..10 {
            hub.publish(at(index), &[ended(index + 1, vec![0; BYTES_PER_TAKE / 2])]);
        }
        let (mut seen, mut takes) = (Vec::new(), 0);
        while seen.len() < 10 {
            let ResultsChange::Entries(entries) = results.next().await else { panic!("no results") };
            seen.extend(entries.iter().map(|entry| entry.at.1.0));
            takes += 1;
        }
        assert_eq!((seen, takes), ((0..10).collect(), 5));
        assert_eq!(hub.results_waiting(), 0);
    }

    #[tokio::test]
    async fn readers_that_stand_still_hold_no_more_than_their_room_together() {
        let hub = EventHub::new(1 << 20);
        let sessions = 100;
        let mut readers: Vec<_> = (0..sessions).map(|key| hub.follow_results(SessionKey(key))).collect();
        for index in 0..20 {
            for key in 0..sessions {
                let Event::Ended { task, state, attempt, output, message, .. } = ended(index + 1, vec![0; 10_000])
                else {
                    unreachable!("it is one")
                };
                let event = Event::Ended { session: SessionKey(key), task, state, attempt, output, message };
                hub.publish(at(index * sessions + key), &[event]);
                assert!(hub.results_waiting() <= 1 << 20);
            }
        }
        assert_eq!(readers[0].next().await, ResultsChange::Lost, "it reads on from disk");
        drop(readers);
        assert_eq!(hub.results_waiting(), 0);
    }

    #[tokio::test]
    async fn a_small_output_lets_its_entry_go() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        let entry = bytes::Bytes::from(vec![7; 1 << 20]);
        let output = |payload| Event::Ended {
            session: SESSION,
            task: TaskNo(1),
            state: TaskState::Succeed,
            attempt: 1,
            output: Some(Payload(payload)),
            message: None,
        };
        hub.publish(at(1), &[output(entry.slice(10..20)), output(entry.slice(0..COPIED_BYTES_MAX + 1))]);
        assert!(!entry.is_unique(), "the large one is shared");
        let ResultsChange::Entries(entries) = results.next().await else { panic!("no results") };
        assert_eq!(entries[0].ended[0].output, Some(Payload(vec![7; 10].into())));
        drop(entries);
        assert!(entry.is_unique());
        hub.publish(at(2), &[output(entry.slice(10..20))]);
        assert!(entry.is_unique(), "the small one was copied");
    }

    #[tokio::test]
    async fn the_end_of_the_session_comes_after_its_last_results() {
        let hub = hub();
        let mut results = hub.follow_results(SESSION);
        hub.publish(at(1), &[ended(1, Vec::new()), Event::SessionGone { session: SESSION }]);
        assert!(matches!(results.next().await, ResultsChange::Entries(_)));
        assert_eq!(results.next().await, ResultsChange::Gone);
    }
}
