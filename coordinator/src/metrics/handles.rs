//! What the parts of a node record as they go: handles that are made once, when the node starts.

use std::time::Duration;

use flame_machine::event::Event;
use flame_machine::reply::Reply;
use flame_metrics::{Counter, Family, Gauge, Histogram, Registrar, Stopwatch};
use flame_storage::LogMetrics;
use flame_types::TaskState;

use super::{
    APPLY, APPLY_GROUP, COMMANDS, COMMIT, DROPPED, ENTRY_BYTES, ENTRY_COMMANDS, GIVEN_OUT, LEADER_CHANGES, Outcome,
    QUEUED_COMMANDS, READ_ROUND, READS, SETTLE, TASK_EVENTS, TaskEvent,
};
use crate::consensus::AppliedEntry;

/// The handles of a node. [`Metrics::default`] records nothing.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// For the log, apply and leadership.
    pub consensus: ConsensusMetrics,
    /// For the batcher.
    pub batcher: BatcherMetrics,
    /// For read points.
    pub reads: ReadMetrics,
    /// For what was applied.
    pub applied: AppliedMetrics,
}

impl Metrics {
    /// Makes the handles.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            consensus: ConsensusMetrics::register(registrar),
            batcher: BatcherMetrics::register(registrar),
            reads: ReadMetrics::register(registrar),
            applied: AppliedMetrics::register(registrar),
        }
    }
}

/// Recorded by consensus.
#[derive(Clone, Debug)]
pub struct ConsensusMetrics {
    /// The writer of the log.
    pub log: LogMetrics,
    /// The thread that applies.
    pub apply: ApplyMetrics,
    /// With each leader that begins.
    pub leader_changes: Counter,
}

impl ConsensusMetrics {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            log: LogMetrics::register(registrar),
            apply: ApplyMetrics { time: registrar.histogram(&APPLY), group: registrar.histogram(&APPLY_GROUP) },
            leader_changes: registrar.counter(&LEADER_CHANGES),
        }
    }
}

impl Default for ConsensusMetrics {
    fn default() -> Self {
        Self::register(&Registrar::off())
    }
}

/// Recorded by apply: once for each group of entries.
#[derive(Clone, Debug)]
pub struct ApplyMetrics {
    time: Histogram,
    group: Histogram,
}

/// A group that is being applied.
#[derive(Clone, Copy, Debug)]
pub struct GroupWatch(Stopwatch);

impl ApplyMetrics {
    /// A group of so many entries begins.
    #[must_use]
    pub fn group(&self, entries: usize) -> GroupWatch {
        self.group.record(entries as f64);
        GroupWatch(Stopwatch::start())
    }
}

impl GroupWatch {
    /// Its rows are written and everybody was told.
    pub fn applied(self, metrics: &ApplyMetrics) {
        self.0.record(&metrics.time);
    }
}

/// Recorded by the batcher: once for each parcel, and once for each entry.
#[derive(Clone, Debug)]
pub struct BatcherMetrics {
    queued_commands: Gauge,
    entry_commands: Histogram,
    entry_bytes: Histogram,
    commit: Histogram,
    settle: Histogram,
    dropped: Counter,
    given_out: Counter,
}

impl BatcherMetrics {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            queued_commands: registrar.gauge(&QUEUED_COMMANDS),
            entry_commands: registrar.histogram(&ENTRY_COMMANDS),
            entry_bytes: registrar.histogram(&ENTRY_BYTES),
            commit: registrar.histogram(&COMMIT),
            settle: registrar.histogram(&SETTLE),
            dropped: registrar.counter(&DROPPED),
            given_out: registrar.counter(&GIVEN_OUT),
        }
    }

    /// A task went to its worker before its entry.
    pub fn given_out(&self) {
        self.given_out.increment(1);
    }

    /// A parcel waits from now on.
    pub fn queued(&self, commands: usize) {
        self.queued_commands.increment(commands as f64);
    }

    /// So many commands wait no more.
    pub fn taken(&self, commands: usize) {
        self.queued_commands.decrement(commands as f64);
    }

    /// An entry of these is about to be proposed.
    #[must_use]
    pub fn entry(&self, commands: usize, bytes: usize) -> EntryWatch {
        self.entry_commands.record(commands as f64);
        self.entry_bytes.record(bytes as f64);
        EntryWatch { since: Stopwatch::start(), metrics: self.clone() }
    }
}

/// Follows one entry on its way.
#[derive(Clone, Debug)]
pub struct EntryWatch {
    since: Stopwatch,
    metrics: BatcherMetrics,
}

impl EntryWatch {
    /// A majority has it.
    pub fn committed(&self) {
        self.since.record(&self.metrics.commit);
    }

    /// It is applied here.
    pub fn settled(&self) {
        self.since.record(&self.metrics.settle);
    }

    /// It came to nothing, or nobody knows.
    pub fn dropped(&self) {
        self.metrics.dropped.increment(1);
    }
}

impl Default for BatcherMetrics {
    fn default() -> Self {
        Self::register(&Registrar::off())
    }
}

/// Recorded by the rounds that ask for read points.
#[derive(Clone, Debug)]
pub struct ReadMetrics {
    round: Histogram,
    reads: Counter,
}

impl ReadMetrics {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self { round: registrar.histogram(&READ_ROUND), reads: registrar.counter(&READS) }
    }

    /// A round has answered so many reads.
    pub fn answered(&self, reads: usize, took: Duration) {
        self.round.record(took);
        self.reads.increment(reads as u64);
    }
}

impl Default for ReadMetrics {
    fn default() -> Self {
        Self::register(&Registrar::off())
    }
}

/// Recorded for each entry that was applied.
#[derive(Clone, Debug)]
pub struct AppliedMetrics {
    tasks: Family<TaskEvent, Counter>,
    commands: Family<Outcome, Counter>,
}

impl AppliedMetrics {
    fn register(registrar: &Registrar<'_>) -> Self {
        Self { tasks: registrar.counters(&TASK_EVENTS), commands: registrar.counters(&COMMANDS) }
    }

    /// Counts what an entry did, and adds it up once per entry.
    pub fn count(&self, entry: &AppliedEntry) {
        let refused = entry.replies.iter().filter(|(.., reply)| matches!(reply, Reply::Refused(_))).count() as u64;
        add(self.commands.of(Outcome::Refused), refused);
        add(self.commands.of(Outcome::Done), entry.replies.len() as u64 - refused);
        let tally = Tally::of(&entry.events);
        add(self.tasks.of(TaskEvent::Submitted), tally.submitted);
        add(self.tasks.of(TaskEvent::Started), tally.started);
        add(self.tasks.of(TaskEvent::Retried), tally.retried);
        add(self.tasks.of(TaskEvent::Succeeded), tally.succeeded);
        add(self.tasks.of(TaskEvent::Failed), tally.failed);
        add(self.tasks.of(TaskEvent::Cancelled), tally.cancelled);
    }
}

impl Default for AppliedMetrics {
    fn default() -> Self {
        Self::register(&Registrar::off())
    }
}

fn add(counter: &Counter, count: u64) {
    if count > 0 {
        counter.increment(count);
    }
}

/// What the events of one entry say of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    submitted: u64,
    started: u64,
    retried: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
}

impl Tally {
    fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        for event in events {
            match event {
                Event::Task { state: TaskState::Running, attempt, .. } => {
                    tally.started += 1;
                    tally.retried += u64::from(*attempt > 1);
                }
                Event::Ended { state, .. } => tally.end(*state, 1),
                // New tasks are the only ones that become Pending together.
                Event::Tasks { first, last, state: TaskState::Pending, .. } => {
                    tally.submitted += last.0 - first.0 + 1;
                }
                Event::Tasks { first, last, state, .. } => tally.end(*state, last.0 - first.0 + 1),
                _ => {}
            }
        }
        tally
    }

    fn end(&mut self, state: TaskState, count: u64) {
        match state {
            TaskState::Succeed => self.succeeded += count,
            TaskState::Failed => self.failed += count,
            TaskState::Cancelled => self.cancelled += count,
            TaskState::Pending | TaskState::Running => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_types::{SessionKey, TaskNo};

    use super::*;

    const SESSION: SessionKey = SessionKey(3);

    fn task(state: TaskState, attempt: u32) -> Event {
        Event::Task { session: SESSION, task: TaskNo(1), state, attempt }
    }

    fn tasks(state: TaskState, first: u64, last: u64) -> Event {
        Event::Tasks { session: SESSION, first: TaskNo(first), last: TaskNo(last), state }
    }

    fn ended(state: TaskState) -> Event {
        Event::Ended { session: SESSION, task: TaskNo(1), state, attempt: 1, output: None, message: None }
    }

    #[test]
    fn each_event_is_counted_as_what_it_is() {
        let events = [
            tasks(TaskState::Pending, 1, 10),
            task(TaskState::Running, 1),
            task(TaskState::Pending, 1),
            task(TaskState::Running, 2),
            ended(TaskState::Succeed),
            ended(TaskState::Failed),
            ended(TaskState::Cancelled),
            tasks(TaskState::Cancelled, 5, 7),
            Event::SessionGone { session: SESSION },
        ];
        let expected = Tally { submitted: 10, started: 2, retried: 1, succeeded: 1, failed: 1, cancelled: 4 };
        assert_eq!(Tally::of(&events), expected);
    }
}
