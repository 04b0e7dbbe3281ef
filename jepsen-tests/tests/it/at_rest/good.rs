//! Histories that keep every promise.

use flame_jepsen::{History, Judgement, Verdict, check};
use flame_types::TaskState;

use super::histories::{execution, good, nonce, observed, on_every_node, told};

fn passes(history: &History) -> Verdict {
    let verdict = check(history);
    assert_eq!(verdict.judgement, Judgement::Valid, "{verdict}");
    assert_eq!((verdict.lost, verdict.duplicated, verdict.reruns), (0, 0, 0), "{verdict}");
    verdict
}

#[test]
fn everything_once() {
    let verdict = passes(&good(100));
    assert_eq!((verdict.submitted, verdict.succeeded), (100, 100));
}

#[test]
fn a_failed_task_is_an_end_too() {
    let mut history = good(3);
    history.told.retain(|told| told.task.0 != 2);
    on_every_node(&mut history, 2, |task| {
        task.state = TaskState::Failed;
        task.output = None;
    });
    let verdict = passes(&history);
    assert_eq!((verdict.submitted, verdict.succeeded), (3, 2));
}

#[test]
fn an_unresolved_submit_that_was_never_done() {
    let mut history = good(3);
    history.unresolved.push(nonce(4));
    let verdict = passes(&history);
    assert_eq!((verdict.submitted, verdict.never_done), (3, 1));
}

#[test]
fn an_unresolved_submit_that_was_done() {
    let mut history = good(3);
    history.unresolved.push(nonce(4));
    history.views.iter_mut().for_each(|view| view.tasks.push(observed(4)));
    history.executions.push(execution(4));
    let verdict = passes(&history);
    assert_eq!((verdict.submitted, verdict.succeeded, verdict.never_done), (4, 4, 0));
}

#[test]
fn the_same_end_told_twice() {
    let mut history = good(3);
    history.told.push(told(2, TaskState::Succeed, "out-2"));
    passes(&history);
}
