//! Results as they are recorded, for those who follow a session: task, state, and what the service gave, straight from
//! apply. An entry's results are gathered once and shared by all who follow the session.
//!
//! A reader that falls too far behind is told that results were *lost* on the way to it. They are on disk: it reads on
//! from the last position it has passed on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use flame_machine::event::Event;
use flame_types::{Generation, LogIndex, Payload, SessionKey, TaskNo, TaskState};

use super::mailbox::{Followers, Reader};

/// Most entries that wait for one reader. Each keeps the log entry alive that its payloads lie in.
const ENTRIES_WAITING_MAX: usize = 128;

/// Most bytes of outputs that wait for one reader.
const BYTES_WAITING_MAX: usize = 8 << 20;

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

    fn bytes(&self) -> usize {
        self.ended.iter().filter_map(|ended| ended.output.as_ref()).map(Payload::len).sum()
    }
}

/// What waits for one reader.
#[derive(Default)]
pub(super) struct Following {
    entries: VecDeque<Arc<EntryResults>>,
    bytes: usize,
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
    fn add(&mut self, entry: &Arc<EntryResults>, bytes: usize) {
        if self.lost {
            return;
        }
        if self.entries.len() == ENTRIES_WAITING_MAX || self.bytes + bytes > BYTES_WAITING_MAX {
            return self.forget();
        }
        self.bytes += bytes;
        self.entries.push_back(entry.clone());
    }

    /// Results did not or will not reach this reader.
    pub(super) fn forget(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.lost = true;
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    fn take(&mut self) -> Option<ResultsChange> {
        if std::mem::take(&mut self.lost) {
            return Some(ResultsChange::Lost);
        }
        if !self.entries.is_empty() {
            self.bytes = 0;
            return Some(ResultsChange::Entries(std::mem::take(&mut self.entries).into()));
        }
        if self.gone {
            return Some(ResultsChange::Gone);
        }
        self.stopped.then_some(ResultsChange::Stopped)
    }
}

/// Gathers the results of one entry by session and hands them to those who follow it.
pub(super) fn publish_results(followers: &Followers<'_, Following>, at: (Generation, LogIndex), events: &[Event]) {
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
    for (session, results) in by_session {
        let bytes = results.bytes();
        let results = Arc::new(results);
        followers.put(session, |following| following.add(&results, bytes));
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

    fn at(index: u64) -> (Generation, LogIndex) {
        (Generation(1), LogIndex(index))
    }

    #[tokio::test]
    async fn results_come_entry_by_entry_with_their_outputs() {
        let hub = EventHub::default();
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
        let hub = EventHub::default();
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
        let hub = EventHub::default();
        let mut results = hub.follow_results(SESSION);
        hub.publish(at(1), &[ended(1, vec![0; BYTES_WAITING_MAX])]);
        hub.publish(at(2), &[ended(2, vec![0])]);
        assert_eq!(results.next().await, ResultsChange::Lost);
    }

    #[tokio::test]
    async fn the_end_of_the_session_comes_after_its_last_results() {
        let hub = EventHub::default();
        let mut results = hub.follow_results(SESSION);
        hub.publish(at(1), &[ended(1, Vec::new()), Event::SessionGone { session: SESSION }]);
        assert!(matches!(results.next().await, ResultsChange::Entries(_)));
        assert_eq!(results.next().await, ResultsChange::Gone);
    }
}
