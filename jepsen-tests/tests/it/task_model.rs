//! The model of one task: what may follow what.

use flame_jepsen::search::Model;
use flame_jepsen::task_model::{Ending, Op, Reading, Reply, State, TaskModel};
use flame_types::{TaskNo, TaskState, Token};

const MODEL: TaskModel = TaskModel { reports_are_known: true, retention: false };
const NO_REPORTS: TaskModel = TaskModel { reports_are_known: false, retention: false };
const RETENTION: TaskModel = TaskModel { reports_are_known: true, retention: true };

/// Whether these can happen one after the other.
fn can_with(model: TaskModel, ops: &[Op]) -> bool {
    let mut states = vec![State::default()];
    for op in ops {
        let mut all = Vec::new();
        for state in &states {
            let mut next = Vec::new();
            model.successors(state, op, &mut next);
            all.extend(next);
        }
        states = all;
    }
    !states.is_empty()
}

fn can(ops: &[Op]) -> bool {
    can_with(MODEL, ops)
}

fn submit(number: u64) -> Op {
    Op::Submit { request: None, reply: Reply::Done(Some(TaskNo(number))) }
}

fn read(state: TaskState) -> Op {
    Op::Read(Reading { number: TaskNo(1), state, attempt: None, output: None })
}

fn read_output(output: u32) -> Op {
    Op::Read(Reading { number: TaskNo(1), state: TaskState::Succeed, attempt: None, output: Some(output) })
}

fn read_attempt(attempt: u32) -> Op {
    Op::Read(Reading { number: TaskNo(1), state: TaskState::Running, attempt: Some(attempt), output: None })
}

fn grant(token: u64) -> Op {
    Op::Grant { token: Token(token), attempt: 1 }
}

fn succeeds(token: u64) -> Op {
    Op::Report { token: Token(token), outcome: Ending::Succeed(Some(0)) }
}

fn fails(token: u64) -> Op {
    Op::Report { token: Token(token), outcome: Ending::Failed(Some(0)) }
}

fn cancel(reply: Reply) -> Op {
    Op::Cancel { request: None, reply }
}

use TaskState::{Cancelled, Failed, Pending, Running, Succeed};

#[test]
fn an_end_is_an_end() {
    let one_done = [submit(1), grant(1), succeeds(1), read(Succeed)];
    assert!(can(&one_done));
    for after in [read(Pending), read(Running), read(Failed), read(Cancelled), grant(2), submit(1)] {
        assert!(!can(&[&one_done[..], std::slice::from_ref(&after)].concat()), "{after:?}");
    }
    assert!(can(&[&one_done[..], &[read_output(0), read(Succeed)]].concat()));
    assert!(!can(&[&one_done[..], &[read_output(1)]].concat()), "the output is that of the report");
}

#[test]
fn a_success_needs_a_report_under_the_last_token() {
    assert!(!can(&[submit(1), read(Succeed)]));
    assert!(!can(&[submit(1), grant(1), read(Succeed)]));
    assert!(!can(&[submit(1), succeeds(1)]), "nobody reports what he was not given");
    assert!(!can(&[submit(1), grant(1), grant(2), succeeds(1), read(Succeed)]), "a stale token");
    assert!(can(&[submit(1), grant(1), grant(2), succeeds(1), read(Running), succeeds(2), read(Succeed)]));
    assert!(!can(&[submit(1), grant(2), grant(1)]), "tokens grow");
    assert!(can_with(NO_REPORTS, &[submit(1), read(Succeed)]), "nobody listened to the workers");
}

#[test]
fn a_failure_ends_a_task_or_has_it_tried_again() {
    assert!(can(&[submit(1), grant(1), fails(1), read(Failed)]));
    assert!(can(&[submit(1), grant(1), fails(1), read(Pending), grant(2), succeeds(2), read(Succeed)]));
    assert!(can(&[submit(1), grant(1), read(Failed)]), "a timeout is nobody's report");
    assert!(!can(&[submit(1), read(Failed), read(Pending)]));
}

#[test]
fn a_live_task_waits_and_runs_in_turns_but_starts_never_go_back() {
    assert!(can(&[submit(1), read(Running), read(Pending), read(Running)]));
    assert!(can(&[submit(1), read_attempt(1), read(Pending), read_attempt(2)]));
    assert!(!can(&[submit(1), read_attempt(2), read_attempt(1)]));
}

#[test]
fn nobody_has_what_nobody_submitted_and_everybody_has_the_rest() {
    let absent = Op::ReadAbsent { trimmed: false };
    assert!(can(&[absent.clone(), submit(1)]));
    assert!(!can(&[submit(1), absent.clone()]));
    assert!(!can(&[read(Pending)]));
    assert!(!can(&[submit(2), read(Pending)]), "it has another number");
    assert!(can(&[Op::Submit { request: None, reply: Reply::Lost }, read(Pending), read(Running)]));
    assert!(can(&[submit(1), Op::Close, Op::Delete, absent]));
}

#[test]
fn a_cancel_ends_what_has_not_ended_and_is_refused_else() {
    let done = cancel(Reply::Done(None));
    assert!(can(&[submit(1), done.clone(), read(Cancelled)]));
    assert!(can(&[submit(1), grant(1), done.clone(), succeeds(1), read(Cancelled)]), "a late result counts no more");
    assert!(!can(&[submit(1), done.clone(), read(Running)]));
    assert!(!can(&[submit(1), done.clone(), done.clone()]));
    assert!(can(&[submit(1), done, cancel(Reply::HasEnded)]));
    assert!(can(&[submit(1), grant(1), succeeds(1), cancel(Reply::HasEnded), read(Succeed)]));
    assert!(!can(&[submit(1), cancel(Reply::NotFound)]));
    assert!(can(&[cancel(Reply::NotFound), submit(1)]));
    assert!(!can(&[submit(1), read(Cancelled)]), "nobody cancelled it");
    // Where nobody listened to the workers, a refusal tells that it has ended, and not how.
    for state in [Succeed, Failed] {
        assert!(can_with(NO_REPORTS, &[submit(1), cancel(Reply::HasEnded), read(state)]));
    }
    assert!(!can(&[submit(1), cancel(Reply::HasEnded), read(Succeed)]));
}

#[test]
fn a_closed_session_cancels_and_takes_nothing() {
    assert!(can(&[submit(1), Op::Close, read(Cancelled)]));
    assert!(can(&[submit(1), grant(1), succeeds(1), read(Succeed), Op::Close, read(Succeed)]));
    assert!(!can(&[submit(1), Op::Close, read(Pending)]));
    assert!(can(&[submit(1), grant(1), Op::Close, read(Failed)]), "it took too long just before");
    assert!(!can(&[submit(1), grant(1), Op::Close, read(Succeed)]));
    assert!(can_with(NO_REPORTS, &[submit(1), Op::Close, read(Succeed)]));
    assert!(!can(&[Op::Close, submit(1)]));
    assert!(!can(&[submit(1), Op::Delete]), "only what is closed is deleted");
}

#[test]
fn what_has_an_id_is_done_once_and_answered_alike() {
    let submit = |reply| Op::Submit { request: Some(0), reply };
    let (one, two) = (Reply::Done(Some(TaskNo(1))), Reply::Done(Some(TaskNo(2))));
    assert!(can(&[submit(one), submit(one), read(Pending)]));
    assert!(!can(&[submit(one), submit(two)]));
    assert!(can(&[submit(Reply::Lost), submit(one)]));
    assert!(!can(&[submit(Reply::Lost), submit(one), submit(two)]));
    assert!(can(&[submit(one), Op::Close, submit(one)]), "the answer outlives the session");
    let cancel = |reply| Op::Cancel { request: Some(1), reply };
    assert!(can(&[submit(one), cancel(Reply::Done(None)), cancel(Reply::Done(None))]));
    assert!(!can(&[submit(one), cancel(Reply::Done(None)), cancel(Reply::HasEnded)]));
    // An early attempt was refused, and its answer lost: later ones are refused as well, whatever is there by then.
    assert!(can(&[cancel(Reply::Lost), submit(one), cancel(Reply::NotFound)]));
    assert!(!can(&[cancel(Reply::Lost), submit(one), cancel(Reply::Done(None))]));
}

#[test]
fn what_has_ended_leaves_only_where_it_may() {
    let trimmed = Op::ReadAbsent { trimmed: true };
    let done = [submit(1), grant(1), succeeds(1), read(Succeed), trimmed.clone()];
    assert!(can_with(RETENTION, &done));
    assert!(!can(&done));
    assert!(!can_with(RETENTION, &[submit(1), trimmed]), "it has not ended");
}
