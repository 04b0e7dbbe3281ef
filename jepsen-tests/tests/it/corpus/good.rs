//! Recordings that keep every promise, also those that look as if they did not.

use flame_jepsen::record::{
    AdminChange, Answer, ClientStep, ErrorClass, FaultKind, News, NodeStep, Operation, Outcome, Process, Recording,
    SessionSeen, Target, TaskSeen, WorkerStep,
};
use flame_types::{CoordinatorId, LogIndex, SessionState, TaskNo, TaskState, Term, Token};

use crate::story::{
    S, Story, accepted, cancel, close, error, executor, get, one_executor, seen, submit, submitted, succeed,
};

/// One worker is cut off and given up; its task goes to the other one.
pub fn eviction_and_rerun() -> Recording {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.fault(1, FaultKind::Partition, &[Target::Worker("worker-1".into())]);
    story.wait(9_000);
    story.worker("worker-1", WorkerStep::LeaseLost);
    story.wait(1_000);
    story.evict("worker-1", false);
    story.release(1, 1);
    story.grant(1, "worker-2", 2, 2);
    story.start(1, "worker-2", 2);
    // The one that was given up is done, and holds its result until somebody takes it or refuses it.
    story.report("worker-1", 1, succeed(1));
    story.report("worker-2", 2, succeed(1));
    story.record(1, 2, TaskState::Succeed);
    story.stored("worker-2", 2);
    story.heal(1);
    story.worker("worker-1", WorkerStep::Attached);
    story.worker("worker-1", WorkerStep::Refused { token: Token(1) });
    story.end()
}

#[test]
fn everything_once() {
    let mut story = Story::new();
    for number in 1..=5 {
        story.submit(number);
        story.run(number, if number % 2 == 0 { "worker-2" } else { "worker-1" }, number);
        story.digests();
        story.reads(seen(number, TaskState::Succeed));
    }
    let report = accepted(&story.end());
    assert_eq!(report.of(flame_jepsen::CheckerId::C1).found.figures["acknowledged_tasks"], 5);
    assert_eq!(report.of(flame_jepsen::CheckerId::C3).found.figures["completions_checked"], 5);
}

#[test]
fn an_eviction_and_a_rerun_that_it_permits() {
    let report = accepted(&eviction_and_rerun());
    let figures = &report.of(flame_jepsen::CheckerId::C10).found.figures;
    assert_eq!((figures["reruns"], figures["permitted_reruns"], figures["evictions"]), (1, 1, 1));
}

#[test]
fn a_worker_that_is_killed_says_nothing_and_its_task_runs_again() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.fault(1, FaultKind::Kill, &[Target::Worker("worker-1".into())]);
    story.wait(10_000);
    story.evict("worker-1", false);
    story.release(1, 1);
    story.run(1, "worker-2", 2);
    story.heal(1);
    accepted(&story.end());
}

#[test]
fn a_service_that_dies_costs_its_task_a_start() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.worker("worker-1", WorkerStep::ExecutorLost { executor: executor("worker-1"), why: "it died".to_owned() });
    story.release(1, 1);
    story.run(1, "worker-1", 2);
    accepted(&story.end());
}

#[test]
fn a_leader_dies_and_nothing_runs_again() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    let lost = story.asks(submit(&[2], Some("r-2")));
    story.report("worker-1", 1, succeed(1));
    story.lost(lost);
    story.wait(700);
    story.new_leader(2);
    story.worker("worker-1", WorkerStep::Attached);
    // Reported anew, and the lost submit is asked for again.
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    story.does(submit(&[2], Some("r-2")), submitted(2));
    story.run(2, "worker-1", 2);
    story.heal(1);
    story.node(1, NodeStep::Opened { last: LogIndex(story.index), term: Term(2) });
    accepted(&story.end());
}

#[test]
fn an_unknown_submit_takes_effect_late() {
    let mut story = Story::new();
    story.submit(1);
    let late = story.asks(submit(&[2], None));
    story.lost(late);
    // Nobody has it yet, says a list that is asked for after the answer was lost.
    let listed: Vec<TaskSeen> = story.tasks.values().cloned().collect();
    story.lists(1, listed);
    story.run(1, "worker-1", 1);
    story.run(2, "worker-1", 2);
    accepted(&story.end());
}

#[test]
fn an_unknown_submit_never_takes_effect() {
    let mut story = Story::new();
    let never = story.asks(submit(&[7], None));
    story.lost(never);
    let unheard = story.asks(submit(&[8], None));
    story.client(unheard, ClientStep::Again { node: None });
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.client(unheard, ClientStep::Info(error(ErrorClass::Broken)));
    accepted(&story.end());
}

#[test]
fn an_unknown_cancel_takes_effect_late() {
    let mut story = Story::new();
    story.submit(1);
    let late = story.asks(cancel(1, Some("c-1")));
    story.lost(late);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.reads(TaskSeen { attempt: Some(1), ..seen(1, TaskState::Running) });
    let index = story.entry();
    story.news(1, index, seen(1, TaskState::Cancelled));
    story.worker("worker-1", WorkerStep::Stopped { token: Token(1) });
    story.is(1, TaskState::Cancelled);
    // The service is done all the same; nobody records that, and its worker may forget it.
    story.report("worker-1", 1, succeed(1));
    story.stored("worker-1", 1);
    story.refused(cancel(1, Some("c-2")), ErrorClass::TaskEnded);
    accepted(&story.end());
}

#[test]
fn a_repeated_change_is_answered_as_the_first_time() {
    let mut story = Story::new();
    let copies: Vec<Process> = (1..=3).map(|node| story.asks_node(Some(node), submit(&[1, 2], Some("r")))).collect();
    story.ok(copies[2], submitted(1));
    story.is(1, TaskState::Pending);
    story.is(2, TaskState::Pending);
    story.lost(copies[0]);
    story.ok(copies[1], submitted(1));
    story.run(1, "worker-1", 1);
    story.does(cancel(2, Some("c")), Answer::Done);
    let index = story.entry();
    story.news(1, index, seen(2, TaskState::Cancelled));
    story.is(2, TaskState::Cancelled);
    // It has ended; the same cancel once more is answered as before, another one is refused.
    story.does(cancel(2, Some("c")), Answer::Done);
    story.refused(cancel(2, Some("d")), ErrorClass::TaskEnded);
    story.does(submit(&[1, 2], Some("r")), submitted(1));
    accepted(&story.end());
}

#[test]
fn a_change_is_refused_one_time_and_done_another() {
    let mut story = Story::new();
    story.refused(submit(&[1], Some("r-1")), ErrorClass::Overloaded);
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.refused(submit(&[9], Some("r-9")), ErrorClass::Overloaded);
    accepted(&story.end());
}

#[test]
fn a_library_hears_that_its_own_first_attempt_was_done() {
    let mut story = Story::new();
    story.submit(1);
    // Without an id the second attempt is refused because of the first.
    let process = story.asks(cancel(1, None));
    story.client(process, ClientStep::Again { node: Some(CoordinatorId(2)) });
    story.fails(process, ErrorClass::TaskEnded);
    let index = story.entry();
    story.news(1, index, seen(1, TaskState::Cancelled));
    story.is(1, TaskState::Cancelled);
    accepted(&story.end());
}

#[test]
fn a_failure_is_tried_again() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, Outcome::Failed { output: Some("no".into()) });
    story.record(1, 1, TaskState::Pending);
    story.stored("worker-1", 1);
    story.reads(seen(1, TaskState::Pending));
    story.grant(1, "worker-2", 2, 2);
    story.start(1, "worker-2", 2);
    story.report("worker-2", 2, succeed(1));
    story.record(1, 2, TaskState::Succeed);
    story.stored("worker-2", 2);
    accepted(&story.end());
}

#[test]
fn a_task_takes_too_long() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.start(1, "worker-1", 1);
    story.wait(5_000);
    story.release(1, 1);
    story.worker("worker-1", WorkerStep::Stopped { token: Token(1) });
    let index = story.entry();
    story.news(1, index, seen(1, TaskState::Failed));
    story.is(1, TaskState::Failed);
    accepted(&story.end());
}

#[test]
fn a_task_is_given_back_before_it_began() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.reads(TaskSeen { attempt: Some(1), ..seen(1, TaskState::Running) });
    story.worker("worker-1", WorkerStep::Returned { token: Token(1) });
    story.release(1, 1);
    story.reads(seen(1, TaskState::Pending));
    // It has not begun, so this is the first start still.
    story.run(1, "worker-2", 2);
    accepted(&story.end());
}

#[test]
fn a_session_is_closed_by_force_and_deleted() {
    let mut story = Story::new();
    story.submit(1);
    story.submit(2);
    story.run(1, "worker-1", 1);
    story.grant(2, "worker-1", 2, 1);
    story.refused(close(false), ErrorClass::RunningTasks);
    story.does(close(true), Answer::Done);
    let index = story.entry();
    story.news(1, index, seen(2, TaskState::Cancelled));
    story.is(2, TaskState::Cancelled);
    story.refused(submit(&[3], Some("r-3")), ErrorClass::SessionNotOpen);
    story.session_state = SessionState::Closed;
    story.reads(seen(2, TaskState::Cancelled));
    accepted(&story.end());

    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.does(close(false), Answer::Done);
    story.does(Operation::DeleteSession { session: S.into(), request: None }, Answer::Done);
    story.refused(get(1), ErrorClass::SessionNotFound);
    let end = story.asks(Operation::ListSessions);
    story.ok(end, Answer::Sessions { sessions: Vec::new() });
    story.tasks.clear();
    story.tell(flame_jepsen::record::What::Phase(flame_jepsen::record::Phase::HealBegan));
    let end = story.asks(Operation::ListSessions);
    story.ok(end, Answer::Sessions { sessions: Vec::new() });
    story.tell(flame_jepsen::record::What::Phase(flame_jepsen::record::Phase::AtRest));
    story.digests();
    story.samples(0);
    accepted(&story.recording);
}

#[test]
fn a_watch_breaks_and_says_what_it_leaves_out() {
    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    let at = story.index;
    // Told by another witness only: this watch was away, and its node had forgotten so much.
    story.submit(2);
    story.grant(2, "worker-1", 2, 1);
    story.start(2, "worker-1", 2);
    story.report("worker-1", 2, succeed(2));
    let (index, session) = (story.entry(), S.into());
    let output = seen(2, TaskState::Succeed).output;
    let step = NodeStep::Recorded {
        index: LogIndex(index),
        session,
        task: TaskNo(2),
        token: Token(2),
        state: TaskState::Succeed,
        output,
    };
    story.nodes(&step);
    story.is(2, TaskState::Succeed);
    let watcher = Process(1_000_000);
    story.client(watcher, ClientStep::Told { watch: 1, news: News::Resumed { from: at } });
    story.client(watcher, ClientStep::Told { watch: 1, news: News::Skipped { to: index } });
    story.submit(3);
    story.run(3, "worker-1", 3);
    accepted(&story.end());
}

#[test]
fn a_watch_that_is_over_owes_nothing_more() {
    let mut story = Story::new();
    story.watch(2, 0);
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.client(Process(1_000_000), ClientStep::Told { watch: 2, news: News::Over });
    accepted(&story.end());
}

#[test]
fn a_node_comes_back_and_applies_again_what_it_had_not_written() {
    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.digests();
    story.fault(1, FaultKind::PowerCut, &[Target::Node(CoordinatorId(3))]);
    story.node(3, NodeStep::Exited { code: None, signal: Some(9) });
    story.heal(1);
    story.node(3, NodeStep::Opened { last: LogIndex(story.index), term: Term(1) });
    story.node(3, NodeStep::Applied { index: LogIndex(2), term: Term(1), digest: "earlier".into() });
    accepted(&story.end());
}

#[test]
fn a_disk_is_damaged_and_its_node_ends_by_itself() {
    let mut story = Story::new();
    story.submit(1);
    story.fault(1, FaultKind::DiskFlip, &[Target::Node(CoordinatorId(2))]);
    story.node(2, NodeStep::Log { error: true, text: "entry 17: checksum differs".to_owned() });
    story.node(2, NodeStep::Exited { code: Some(11), signal: None });
    story.heal(1);
    story.run(1, "worker-1", 1);
    accepted(&story.end());
}

#[test]
fn members_come_and_go() {
    let ids = |ids: &[u64]| ids.iter().copied().map(CoordinatorId).collect::<Vec<_>>();
    let mut story = Story::new();
    let members = |story: &mut Story, voters: Vec<Vec<CoordinatorId>>| {
        let index = LogIndex(story.entry());
        story.nodes(&NodeStep::Members { index, voters, learners: Vec::new() });
    };
    members(&mut story, vec![ids(&[1, 2, 3])]);
    let add = Operation::Admin { change: AdminChange::AddNode { node: CoordinatorId(4) } };
    let asked = story.asks(add);
    members(&mut story, vec![ids(&[1, 2, 3]), ids(&[1, 2, 3, 4])]);
    members(&mut story, vec![ids(&[1, 2, 3, 4])]);
    story.ok(asked, Answer::Done);
    let asked = story.asks(Operation::Admin { change: AdminChange::RemoveNode { node: CoordinatorId(1) } });
    members(&mut story, vec![ids(&[1, 2, 3, 4]), ids(&[2, 3, 4])]);
    members(&mut story, vec![ids(&[2, 3, 4])]);
    story.ok(asked, Answer::Done);
    // Somebody hears late of the leader of before; then there is another one.
    story.node(3, NodeStep::Follows { term: Term(1), leader: CoordinatorId(1) });
    story.term += 1;
    story.node(2, NodeStep::Leads { term: Term(2) });
    accepted(&story.end());
}

#[test]
fn what_has_ended_leaves_with_its_age() {
    let mut story = Story::new();
    story.plan().retention = true;
    story.submit(1);
    story.run(1, "worker-1", 1);
    story.wait(3_600_000);
    story.does(get(1), Answer::NoTask { trimmed: true });
    story.tasks.clear();
    story.tell(flame_jepsen::record::What::Phase(flame_jepsen::record::Phase::HealBegan));
    story.tell(flame_jepsen::record::What::Phase(flame_jepsen::record::Phase::AtRest));
    let process = story.asks_node(Some(1), Operation::List { session: S.into() });
    story.ok(process, Answer::Tasks { tasks: Vec::new(), trimmed: 1 });
    let sessions = vec![SessionSeen { session: S.into(), state: SessionState::Open }];
    let process = story.asks(Operation::ListSessions);
    story.ok(process, Answer::Sessions { sessions });
    story.digests();
    story.samples(0);
    accepted(&story.recording);
}

#[test]
fn a_busy_worker_is_accounted_for() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    let workers = vec![one_executor("worker-1", 2, 1), one_executor("worker-2", 1, 0)];
    let index = LogIndex(story.index);
    story.node(1, NodeStep::Usage { index, running: 1, pending: 0, workers });
    story.start(1, "worker-1", 1);
    story.report("worker-1", 1, succeed(1));
    story.record(1, 1, TaskState::Succeed);
    story.stored("worker-1", 1);
    accepted(&story.end());
}

#[test]
fn a_reading_that_overlaps_a_change_may_show_either() {
    for state in [TaskState::Running, TaskState::Succeed] {
        let mut story = Story::new();
        story.submit(1);
        story.grant(1, "worker-1", 1, 1);
        story.start(1, "worker-1", 1);
        let reader = story.asks(get(1));
        story.report("worker-1", 1, succeed(1));
        story.record(1, 1, TaskState::Succeed);
        story.ok(reader, Answer::Task(seen(1, state)));
        story.stored("worker-1", 1);
        accepted(&story.end());
    }
}
