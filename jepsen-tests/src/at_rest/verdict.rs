//! What the checker found.

use std::fmt;

use flame_types::{CoordinatorId, TaskNo, TaskState};

use super::history::Nonce;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Finding {
    /// Acknowledged, and a node does not know it.
    #[error("lost: task {task} ({nonce}) was acknowledged, node {node} does not have it")]
    Missing { node: CoordinatorId, task: TaskNo, nonce: Nonce },
    /// Acknowledged, everything is at rest, and it has not ended.
    #[error("lost: task {task} ({nonce}) was acknowledged and is {state} on node {node} for ever")]
    Unfinished { node: CoordinatorId, task: TaskNo, nonce: Nonce, state: TaskState },
    /// The number that was acknowledged belongs to other bytes.
    #[error("lost: task {task} was acknowledged for {acknowledged}, node {node} has {found} there")]
    Swapped { node: CoordinatorId, task: TaskNo, acknowledged: Nonce, found: Nonce },
    /// A client was told an end that a node does not have.
    #[error("lost: a client was told that task {task} ended {told}, node {node} shows {shown}")]
    Untold { node: CoordinatorId, task: TaskNo, told: TaskState, shown: TaskState },
    /// Its story has more than one end.
    #[error("duplicated: task {task} ended {completions} times on node {node}")]
    CompletedTwice { node: CoordinatorId, task: TaskNo, completions: u32 },
    /// Two different ends of one task.
    #[error("duplicated: task {task} has two different results: {first} and {second}")]
    TwoResults { task: TaskNo, first: String, second: String },
    /// One submit made two tasks.
    #[error("duplicated: {nonce} was submitted once and is task {first} and task {second}")]
    SubmittedTwice { nonce: Nonce, first: TaskNo, second: TaskNo },
    /// The service ran it more than once.
    #[error("rerun: {nonce} was executed {times} times")]
    Rerun { nonce: Nonce, times: u64 },
    /// A result without an execution.
    #[error("invented: task {task} ({nonce}) succeeded and no service ran it")]
    NeverExecuted { task: TaskNo, nonce: Nonce },
    /// Nobody submitted it.
    #[error("invented: {nonce} was never submitted, and {witness} has it")]
    Invented { nonce: Nonce, witness: String },
    /// Two nodes at rest show different states.
    #[error("disagreement: task {task} is {first} on node {first_node} and {second} on node {second_node}")]
    Disagreement { task: TaskNo, first_node: CoordinatorId, first: String, second_node: CoordinatorId, second: String },
}

/// The checker's last word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Every promise was kept, and there was something to keep.
    Valid,
    /// A promise was broken.
    Invalid,
    /// Nothing was proved: no acknowledgement, or no node was asked. This is not a pass.
    Inconclusive,
}

/// Counts, findings, and the last word.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Tasks that exist for the clients: acknowledged, or unresolved and found.
    pub submitted: u64,
    /// Of these, how many every node shows as succeeded.
    pub succeeded: u64,
    /// Tasks that were acknowledged and are not ended everywhere.
    pub lost: u64,
    /// Tasks with two completions, two results or two numbers.
    pub duplicated: u64,
    /// Executions beyond the first of each task.
    pub reruns: u64,
    /// Unresolved submits that no node has: they were never done.
    pub never_done: u64,
    /// Everything that is wrong, in the order of the tasks.
    pub findings: Vec<Finding>,
    /// The last word.
    pub judgement: Judgement,
}

/// How many findings are printed; the counts say how many there are.
const SHOWN_FINDINGS_MAX: usize = 20;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { submitted, succeeded, lost, duplicated, reruns, never_done, findings, judgement } = self;
        write!(
            f,
            "{judgement:?}: submitted={submitted} succeeded={succeeded} lost={lost} duplicated={duplicated} \
             reruns={reruns} never_done={never_done} findings={}",
            findings.len()
        )?;
        for finding in findings.iter().take(SHOWN_FINDINGS_MAX) {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}
