//! One history for each kind of wrong. A checker that lets one pass is worthless.

use flame_jepsen::{Finding, History, Judgement, Verdict, check};
use flame_types::{CoordinatorId, TaskNo, TaskState};

use super::histories::{execution, good, nonce, observed, on_every_node, told};

fn rejected(history: &History, expected: impl Fn(&Finding) -> bool) -> Verdict {
    let verdict = check(history);
    assert_eq!(verdict.judgement, Judgement::Invalid, "{verdict}");
    assert!(verdict.findings.iter().any(expected), "the wrong finding: {verdict}");
    verdict
}

#[test]
fn an_acknowledged_task_is_gone_everywhere() {
    let mut history = good(5);
    history.views.iter_mut().for_each(|view| view.tasks.retain(|task| task.task != TaskNo(3)));
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Missing { task: TaskNo(3), .. }));
    assert_eq!((verdict.lost, verdict.succeeded), (1, 4));
}

#[test]
fn an_acknowledged_task_is_gone_on_one_node() {
    let mut history = good(5);
    history.views[1].tasks.pop();
    let node_two = CoordinatorId(2);
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Missing { node, .. } if *node == node_two));
    assert_eq!(verdict.lost, 1);
}

#[test]
fn an_acknowledged_task_never_ends() {
    for state in [TaskState::Pending, TaskState::Running] {
        let mut history = good(5);
        history.told.retain(|told| told.task != TaskNo(2));
        on_every_node(&mut history, 2, |task| {
            task.state = state;
            task.output = None;
            task.recorded_completions = 0;
        });
        let verdict = rejected(&history, |finding| matches!(finding, Finding::Unfinished { .. }));
        assert_eq!((verdict.lost, verdict.succeeded), (1, 4));
    }
}

#[test]
fn an_acknowledged_number_was_given_to_another_task() {
    let mut history = good(5);
    history.unresolved.push(nonce(99));
    history.executions.push(execution(99));
    on_every_node(&mut history, 2, |task| task.nonce = nonce(99));
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Swapped { task: TaskNo(2), .. }));
    assert_eq!(verdict.lost, 1);
}

#[test]
fn a_result_that_was_told_is_gone() {
    let mut history = good(5);
    history.acknowledged.remove(1);
    history.unresolved.push(nonce(2));
    on_every_node(&mut history, 2, |task| task.state = TaskState::Pending);
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Untold { task: TaskNo(2), .. }));
    assert_eq!(verdict.lost, 1);
}

#[test]
fn two_completions_are_recorded() {
    let mut history = good(5);
    on_every_node(&mut history, 4, |task| task.recorded_completions = 2);
    let verdict = rejected(&history, |finding| matches!(finding, Finding::CompletedTwice { task: TaskNo(4), .. }));
    assert_eq!(verdict.duplicated, 1, "three nodes saying it is still one task");
}

#[test]
fn a_client_was_told_another_result_than_the_recorded_one() {
    let mut history = good(5);
    history.told[0] = told(1, TaskState::Succeed, "something else");
    let verdict = rejected(&history, |finding| matches!(finding, Finding::TwoResults { task: TaskNo(1), .. }));
    assert_eq!(verdict.duplicated, 1);
}

#[test]
fn a_task_succeeded_and_failed() {
    let mut history = good(5);
    history.told.push(told(1, TaskState::Failed, "out-1"));
    let verdict = rejected(&history, |finding| matches!(finding, Finding::TwoResults { .. }));
    assert_eq!(verdict.duplicated, 1);
}

#[test]
fn one_submit_made_two_tasks() {
    let mut history = good(5);
    for view in &mut history.views {
        let mut copy = observed(6);
        copy.nonce = nonce(5);
        view.tasks.push(copy);
    }
    let verdict = rejected(&history, |finding| matches!(finding, Finding::SubmittedTwice { .. }));
    assert_eq!(verdict.duplicated, 1);
}

#[test]
fn a_task_ran_three_times() {
    let mut history = good(5);
    history.executions.extend([execution(2), execution(2)]);
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Rerun { times: 3, .. }));
    assert_eq!(verdict.reruns, 2);
}

#[test]
fn a_task_may_run_again_only_when_its_worker_was_taken_from_it() {
    let mut history = good(5);
    history.executions.extend([execution(2), execution(3)]);
    history.may_rerun.insert(nonce(2));
    let verdict = rejected(&history, |finding| matches!(finding, Finding::Rerun { times: 2, .. }));
    assert_eq!(verdict.reruns, 1);
    history.may_rerun.insert(nonce(3));
    assert_eq!(flame_jepsen::check(&history).judgement, flame_jepsen::Judgement::Valid);
}

#[test]
fn a_success_without_an_execution() {
    let mut history = good(5);
    history.executions.remove(0);
    rejected(&history, |finding| matches!(finding, Finding::NeverExecuted { task: TaskNo(1), .. }));
}

#[test]
fn a_task_that_nobody_submitted() {
    let mut history = good(5);
    history.executions.push(execution(6));
    rejected(&history, |finding| matches!(finding, Finding::Invented { witness, .. } if witness == "process 100"));
    let mut history = good(5);
    history.views[0].tasks.push(observed(6));
    rejected(&history, |finding| matches!(finding, Finding::Invented { witness, .. } if witness == "node 1"));
}

#[test]
fn two_nodes_disagree_although_nobody_was_told() {
    let mut history = good(5);
    history.acknowledged.retain(|acknowledgement| acknowledgement.task != TaskNo(5));
    history.told.retain(|told| told.task != TaskNo(5));
    history.unresolved.push(nonce(5));
    history.views[2].tasks.pop();
    rejected(&history, |finding| matches!(finding, Finding::Disagreement { task: TaskNo(5), .. }));
}

#[test]
fn a_history_that_proves_nothing_does_not_pass() {
    let nobody_submitted = History { acknowledged: Vec::new(), ..good(0) };
    let nobody_asked = History { views: Vec::new(), ..good(5) };
    for history in [History::default(), nobody_submitted, nobody_asked] {
        let verdict = check(&history);
        assert_eq!(verdict.judgement, Judgement::Inconclusive, "{verdict}");
        assert_eq!(verdict.succeeded, 0);
    }
}
