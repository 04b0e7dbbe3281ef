//! What clients are promised, broken: readings, acknowledgements, retries, watches, availability, bounds.

use flame_jepsen::record::{
    Answer, ClientStep, ErrorClass, FaultKind, Nanos, News, NodeStep, Operation, Phase, Process, Recording, Target,
    TaskSeen, What,
};
use flame_types::{CoordinatorId, LogIndex, SessionState, TaskNo, TaskState};

use crate::story::{Story, cancel, close, one_executor, seen, submit, submitted, succeed};

fn one_done() -> Story {
    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    story
}

pub fn stale_read_from_an_old_leader() -> Recording {
    let mut story = Story::new();
    story.fault(1, FaultKind::Partition, &[Target::Node(CoordinatorId(1))]);
    story.new_leader(2);
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.reads(seen(1, TaskState::Succeed));
    // The old one answers from what it had.
    story.reads(seen(1, TaskState::Running));
    story.heal(1);
    story.end()
}

pub fn stale_read_after_a_pause() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.fault(1, FaultKind::Pause, &[Target::Node(CoordinatorId(1))]);
    story.run(1, "worker-1", 1);
    story.heal(1);
    // A watch has told the end already; the reading is answered as if its question were of before the pause.
    story.reads(seen(1, TaskState::Pending));
    story.end()
}

pub fn acknowledged_before_durable() -> Recording {
    let mut story = one_done();
    story.submit(2);
    story.fault(1, FaultKind::PowerCut, &[1, 2, 3].map(|node| Target::Node(CoordinatorId(node))));
    story.heal(1);
    story.tasks.remove(&2);
    story.end()
}

pub fn acknowledged_session_lost() -> Recording {
    let mut story = one_done();
    let create = Operation::CreateSession { session: "other".into(), request: None };
    story.does(create, Answer::Session { created: true });
    story.end()
}

pub fn told_end_taken_back() -> Recording {
    let mut story = one_done();
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.heal(1);
    story.is(1, TaskState::Running);
    story.end()
}

pub fn lost_completion_report() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, succeed(1));
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    // The leader says "recorded" of what it had not recorded, and dies.
    story.stored("worker-1", 1);
    story.heal(1);
    story.end()
}

pub fn two_acknowledgements_of_one_number() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.does(submit(&[2], None), submitted(1));
    story.run(1, "worker-1", 1);
    story.end()
}

/// The same mark under a second number.
fn twin(story: &mut Story) {
    let twin = TaskSeen { task: TaskNo(99), ..seen(1, TaskState::Succeed) };
    story.tasks.insert(99, twin);
}

pub fn retry_makes_two_tasks() -> Recording {
    let mut story = Story::new();
    let first = story.asks(submit(&[1], Some("r-1")));
    story.lost(first);
    story.submit(1);
    story.run(1, "worker-1", 1);
    twin(&mut story);
    story.end()
}

pub fn proxy_makes_two_tasks() -> Recording {
    let mut story = Story::new();
    let process = story.asks(submit(&[1], None));
    story.client(process, ClientStep::Again { node: Some(CoordinatorId(2)) });
    story.ok(process, submitted(1));
    story.run(1, "worker-1", 1);
    twin(&mut story);
    story.end()
}

pub fn submit_made_by_half() -> Recording {
    let mut story = one_done();
    let process = story.asks(submit(&[2, 3], Some("r-2")));
    story.lost(process);
    story.run(2, "worker-1", 2);
    story.end()
}

pub fn late_retry_makes_two_tasks() -> Recording {
    let mut story = one_done();
    story.wait(600_000);
    story.does(submit(&[1], Some("r-1")), submitted(99));
    twin(&mut story);
    story.end()
}

pub fn snapshot_forgets_requests() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.does(cancel(1, Some("c-1")), Answer::Done);
    story.is(1, TaskState::Cancelled);
    let index = story.entry();
    story.news(1, index, seen(1, TaskState::Cancelled));
    story.node(2, NodeStep::SnapshotInstalled { last: LogIndex(index) });
    story.new_leader(2);
    // It was done, and the same request must be told so.
    story.refused(cancel(1, Some("c-1")), ErrorClass::TaskEnded);
    story.end()
}

pub fn cancel_does_nothing() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.does(cancel(1, None), Answer::Done);
    story.run(1, "worker-1", 1);
    story.end()
}

pub fn submit_into_a_closed_session() -> Recording {
    let mut story = one_done();
    story.does(close(false), Answer::Done);
    story.submit(2);
    story.session_state = SessionState::Closed;
    story.is(2, TaskState::Cancelled);
    story.end()
}

pub fn invented_result() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.reads(seen(1, TaskState::Succeed));
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.end()
}

pub fn refused_and_done() -> Recording {
    let mut story = one_done();
    story.refused(submit(&[2], Some("r-2")), ErrorClass::Overloaded);
    story.run(2, "worker-1", 2);
    story.end()
}

pub fn timeout_called_a_failure() -> Recording {
    let mut story = one_done();
    story.refused(submit(&[2], Some("r-2")), ErrorClass::Timeout);
    story.end()
}

pub fn refused_cancel_takes_effect() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.refused(cancel(1, None), ErrorClass::Refused);
    story.is(1, TaskState::Cancelled);
    let index = story.entry();
    story.news(1, index, seen(1, TaskState::Cancelled));
    story.end()
}

pub fn watch_gap() -> Recording {
    let mut story = Story::new();
    story.watch(2, 0);
    for number in 1..=3 {
        story.submit(number);
        story.run(number, "worker-1", number);
        let index = story.index;
        if number != 2 {
            story.news(2, index, seen(number, TaskState::Succeed));
        }
    }
    story.end()
}

pub fn watch_resumes_too_late() -> Recording {
    let mut story = one_done();
    let later = story.index + 5;
    story.client(Process(1_000_000), ClientStep::Told { watch: 1, news: News::Resumed { from: later } });
    story.end()
}

pub fn watch_stops_silently() -> Recording {
    let mut story = Story::new();
    story.watch(2, 0);
    story.submit(1);
    story.run(1, "worker-1", 1);
    let index = story.index;
    story.news(2, index, seen(1, TaskState::Succeed));
    story.submit(2);
    story.run(2, "worker-1", 2);
    story.end()
}

pub fn watch_duplicate() -> Recording {
    let mut story = one_done();
    let index = story.index;
    story.news(1, index, seen(1, TaskState::Succeed));
    story.end()
}

pub fn watch_back_in_time() -> Recording {
    let mut story = Story::new();
    story.watch(2, 0);
    story.submit(1);
    story.run(1, "worker-1", 1);
    let first = story.index;
    story.submit(2);
    story.run(2, "worker-1", 2);
    let second = story.index;
    story.news(2, second, seen(2, TaskState::Succeed));
    story.news(2, first, seen(1, TaskState::Succeed));
    story.end()
}

pub fn panic_on_disconnect() -> Recording {
    let mut story = one_done();
    story.fault(1, FaultKind::Partition, &[Target::Node(CoordinatorId(3))]);
    let text = "thread 'drive' panicked at the stream is there".to_owned();
    story.node(3, NodeStep::Log { error: true, text });
    story.heal(1);
    story.end()
}

pub fn death_by_surprise() -> Recording {
    let mut story = one_done();
    story.node(3, NodeStep::Exited { code: Some(14), signal: None });
    story.end()
}

/// Writes are asked for and given up, for so long.
fn nothing_is_written(story: &mut Story, seconds: u64) {
    for _ in 0..seconds * 2 {
        let fresh = 1_000 + story.recording.events.len() as u64;
        let process = story.asks(submit(&[fresh], None));
        story.wait(500);
        story.lost(process);
    }
}

pub fn retry_storm() -> Recording {
    let mut story = one_done();
    story.plan().bounds.settle = Nanos::from_secs(20);
    story.fault(1, FaultKind::Overload, &[Target::Clients]);
    story.heal(1);
    story.tell(What::Phase(Phase::HealBegan));
    // The load is as before, and everybody is busy with what was given up long ago.
    nothing_is_written(&mut story, 40);
    story.tell(What::Phase(Phase::AtRest));
    story.last_reads();
    story.digests();
    story.samples(0);
    story.recording
}

pub fn long_silence() -> Recording {
    let mut story = one_done();
    story.plan().bounds.write_gap = Some(Nanos::from_secs(3));
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    nothing_is_written(&mut story, 5);
    story.submit(2);
    story.run(2, "worker-1", 2);
    story.heal(1);
    story.end()
}

pub fn never_at_rest() -> Recording {
    let mut story = one_done();
    story.tell(What::Phase(Phase::HealBegan));
    story.reads(seen(1, TaskState::Succeed));
    story.digests();
    story.samples(0);
    story.recording
}

pub fn calls_hang_after_heal() -> Recording {
    let mut story = one_done();
    story.tell(What::Phase(Phase::HealBegan));
    story.asks(submit(&[2], Some("r-2")));
    story.tell(What::Phase(Phase::AtRest));
    story.last_reads();
    story.digests();
    story.samples(0);
    story.recording
}

pub fn tasks_wait_for_ever() -> Recording {
    let mut story = one_done();
    story.submit(2);
    story.end()
}

pub fn leaked_allocation() -> Recording {
    let mut recording = one_done().end();
    let mut story = Story::new();
    story.now = recording.events.last().expect("it is not empty").time;
    let workers = vec![one_executor("worker-1", 1, 0)];
    let at = story.node(1, NodeStep::Usage { index: LogIndex(50), running: 0, pending: 0, workers });
    let event = story.recording.events.swap_remove(at);
    recording.events.push(event);
    recording
}

pub fn allocation_does_not_add_up() -> Recording {
    let mut story = one_done();
    let mut worker = one_executor("worker-1", 2, 0);
    worker.allocated = 3;
    let index = LogIndex(story.index);
    story.node(1, NodeStep::Usage { index, running: 0, pending: 0, workers: vec![worker] });
    story.end()
}

pub fn table_grows() -> Recording {
    let mut story = one_done();
    story.samples(1_001);
    story.end()
}

pub fn table_is_not_emptied() -> Recording {
    let mut recording = one_done().end();
    let last = recording.events.last_mut().expect("it is not empty");
    let What::Node(node) = &mut last.what else { panic!("a story ends with a gauge") };
    let NodeStep::Gauge { value, .. } = &mut node.step else { panic!("a story ends with a gauge") };
    *value = 7;
    recording
}
