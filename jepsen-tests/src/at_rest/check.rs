//! The checker: every promise in turn, over one history.
//!
//! **Invariant:** each kind of wrong is found by one function here, and the corpus in `tests/it` has a history for it.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{TaskNo, TaskState};

use super::history::{Completion, History, NodeView, Nonce, ObservedTask};
use super::verdict::{Finding, Judgement, Verdict};

/// Holds the history against the promise.
#[must_use]
pub fn check(history: &History) -> Verdict {
    let views: Vec<_> = history.views.iter().map(View::new).collect();
    let submitted = submitted(history, &views);
    let lost = lost(history, &views);
    let duplicated = duplicated(history, &views);
    let reruns = reruns(history);
    let mut findings = [lost, duplicated, reruns].concat();
    let lost = distinct_tasks(&findings, is_loss);
    let duplicated = distinct_tasks(&findings, is_duplicate);
    let executed =
        findings.iter().map(|finding| if let Finding::Rerun { times, .. } = finding { times - 1 } else { 0 });
    let reruns = executed.sum();
    findings.extend(invented(history, &views));
    findings.extend(never_executed(history, &views));
    findings.extend(disagreements(&views));
    let succeeded = submitted.iter().filter(|nonce| views.iter().all(|view| view.has_succeeded(nonce))).count() as u64;
    let inconclusive = history.acknowledged.is_empty() || views.is_empty();
    Verdict {
        submitted: submitted.len() as u64,
        succeeded: if views.is_empty() { 0 } else { succeeded },
        lost,
        duplicated,
        reruns,
        never_done: history.unresolved.iter().filter(|nonce| !submitted.contains(*nonce)).count() as u64,
        judgement: match (findings.is_empty(), inconclusive) {
            (false, _) => Judgement::Invalid,
            (true, true) => Judgement::Inconclusive,
            (true, false) => Judgement::Valid,
        },
        findings,
    }
}

/// A node's view, by number and by mark.
struct View<'a> {
    view: &'a NodeView,
    by_task: BTreeMap<TaskNo, &'a ObservedTask>,
    by_nonce: BTreeMap<&'a Nonce, Vec<&'a ObservedTask>>,
}

impl<'a> View<'a> {
    fn new(view: &'a NodeView) -> Self {
        let mut by_nonce: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for task in &view.tasks {
            by_nonce.entry(&task.nonce).or_default().push(task);
        }
        Self { view, by_task: view.tasks.iter().map(|task| (task.task, task)).collect(), by_nonce }
    }

    fn has_succeeded(&self, nonce: &Nonce) -> bool {
        let tasks = self.by_nonce.get(nonce);
        tasks.is_some_and(|tasks| tasks.iter().all(|task| task.state == TaskState::Succeed))
    }
}

/// Acknowledged, or of unknown fate and found somewhere.
fn submitted(history: &History, views: &[View<'_>]) -> BTreeSet<Nonce> {
    let acknowledged = history.acknowledged.iter().map(|acknowledgement| &acknowledgement.nonce);
    let found = history.unresolved.iter().filter(|nonce| views.iter().any(|view| view.by_nonce.contains_key(nonce)));
    acknowledged.chain(found).cloned().collect()
}

fn lost(history: &History, views: &[View<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in views {
        let node = view.view.node;
        for acknowledgement in &history.acknowledged {
            let (task, nonce) = (acknowledgement.task, acknowledgement.nonce.clone());
            match view.by_task.get(&task) {
                None => findings.push(Finding::Missing { node, task, nonce }),
                Some(found) if found.nonce != nonce => {
                    let found = found.nonce.clone();
                    findings.push(Finding::Swapped { node, task, acknowledged: nonce, found });
                }
                Some(found) if !found.state.is_terminal() => {
                    findings.push(Finding::Unfinished { node, task, nonce, state: found.state });
                }
                Some(_) => {}
            }
        }
        for told in &history.told {
            let shown = view.by_task.get(&told.task);
            if let Some(shown) = shown
                && !shown.state.is_terminal()
            {
                let (told, task) = (told.completion.state, told.task);
                findings.push(Finding::Untold { node, task, told, shown: shown.state });
            }
        }
    }
    findings
}

fn duplicated(history: &History, views: &[View<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut results: BTreeMap<TaskNo, Completion> = BTreeMap::new();
    let shown = views.iter().flat_map(|view| &view.view.tasks).filter(|task| task.state.is_terminal());
    let shown = shown.map(|task| (task.task, Completion { state: task.state, output: task.output.clone() }));
    let told = history.told.iter().map(|told| (told.task, told.completion.clone()));
    let mut differing = BTreeSet::new();
    for (task, result) in told.chain(shown) {
        let first = results.entry(task).or_insert_with(|| result.clone());
        if *first != result && differing.insert(task) {
            findings.push(Finding::TwoResults { task, first: describe(first), second: describe(&result) });
        }
    }
    for view in views {
        let node = view.view.node;
        for task in view.view.tasks.iter().filter(|task| task.recorded_completions > 1) {
            let completions = task.recorded_completions;
            findings.push(Finding::CompletedTwice { node, task: task.task, completions });
        }
        for (nonce, tasks) in &view.by_nonce {
            if let [first, second, ..] = tasks.as_slice() {
                let nonce = (*nonce).clone();
                findings.push(Finding::SubmittedTwice { nonce, first: first.task, second: second.task });
            }
        }
    }
    findings
}

fn reruns(history: &History) -> Vec<Finding> {
    let executions = executions_by_nonce(history).into_iter();
    let repeated = executions.filter(|(nonce, times)| *times > 1 && !history.may_rerun.contains(*nonce));
    repeated.map(|(nonce, times)| Finding::Rerun { nonce: nonce.clone(), times }).collect()
}

fn invented(history: &History, views: &[View<'_>]) -> Vec<Finding> {
    let acknowledged = history.acknowledged.iter().map(|acknowledgement| &acknowledgement.nonce);
    let known: BTreeSet<_> = acknowledged.chain(&history.unresolved).collect();
    let shown = views.iter().flat_map(|view| {
        let witness = format!("node {}", view.view.node);
        view.view.tasks.iter().map(move |task| (&task.nonce, witness.clone()))
    });
    let ran = history.executions.iter().map(|execution| (&execution.nonce, format!("process {}", execution.pid)));
    let unknown = shown.chain(ran).filter(|(nonce, _)| !known.contains(nonce));
    unknown.map(|(nonce, witness)| Finding::Invented { nonce: nonce.clone(), witness }).collect()
}

fn never_executed(history: &History, views: &[View<'_>]) -> Vec<Finding> {
    let executions = executions_by_nonce(history);
    let succeeded = views.iter().flat_map(|view| &view.view.tasks).filter(|task| task.state == TaskState::Succeed);
    let unexecuted: BTreeSet<_> = succeeded
        .filter(|task| !executions.contains_key(&task.nonce))
        .map(|task| (task.task, task.nonce.clone()))
        .collect();
    unexecuted.into_iter().map(|(task, nonce)| Finding::NeverExecuted { task, nonce }).collect()
}

fn disagreements(views: &[View<'_>]) -> Vec<Finding> {
    let Some((first, others)) = views.split_first() else { return Vec::new() };
    let mut findings = Vec::new();
    for other in others {
        let tasks: BTreeSet<_> = first.by_task.keys().chain(other.by_task.keys()).collect();
        for task in tasks {
            let (left, right) = (shown(first, *task), shown(other, *task));
            if left != right {
                let (first_node, second_node) = (first.view.node, other.view.node);
                findings.push(Finding::Disagreement {
                    task: *task,
                    first_node,
                    first: left,
                    second_node,
                    second: right,
                });
            }
        }
    }
    findings
}

fn shown(view: &View<'_>, task: TaskNo) -> String {
    view.by_task.get(&task).map_or_else(|| "absent".to_owned(), |task| task.state.to_string())
}

fn executions_by_nonce(history: &History) -> BTreeMap<&Nonce, u64> {
    let mut executions = BTreeMap::new();
    for execution in &history.executions {
        *executions.entry(&execution.nonce).or_default() += 1;
    }
    executions
}

fn is_loss(finding: &Finding) -> Option<TaskNo> {
    match finding {
        Finding::Missing { task, .. }
        | Finding::Unfinished { task, .. }
        | Finding::Swapped { task, .. }
        | Finding::Untold { task, .. } => Some(*task),
        _ => None,
    }
}

fn is_duplicate(finding: &Finding) -> Option<TaskNo> {
    match finding {
        Finding::CompletedTwice { task, .. }
        | Finding::TwoResults { task, .. }
        | Finding::SubmittedTwice { second: task, .. } => Some(*task),
        _ => None,
    }
}

fn distinct_tasks(findings: &[Finding], class: impl Fn(&Finding) -> Option<TaskNo>) -> u64 {
    findings.iter().filter_map(class).collect::<BTreeSet<_>>().len() as u64
}

fn describe(completion: &Completion) -> String {
    const SHOWN_BYTES_MAX: usize = 40;
    let output = completion.output.as_ref().map_or_else(
        || "no output".to_owned(),
        |bytes| format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)])),
    );
    format!("{} with {output}", completion.state)
}
