//! What workers say of tasks: results, tasks given back, recalls that came too late.

use flame_types::{Epoch, ExecutorState, NodeName, TaskState, Token};

use super::batch::{Apply, Outcome};
use super::ending::{Ending, Failure};
use crate::command::{Completion, Outcome as TaskOutcome};
use crate::effect::Order;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::row::AttemptRow;

impl Apply<'_> {
    /// Results need only their tokens: one that is not held is settled, and will be for ever.
    pub(super) fn complete(&mut self, node: &NodeName, done: Vec<Completion>) -> Outcome {
        if !self.state.nodes.contains_key(node) {
            return Err(Refusal::NodeNotFound(node.to_string()));
        }
        for completion in &done {
            if self.held_on(completion.token).is_some_and(|holder| holder != node) {
                let why = format!("token {} is not held by node {node}", completion.token);
                return Err(Refusal::StalePlan(why));
            }
        }
        let tokens: Vec<Token> = done.iter().map(|completion| completion.token).collect();
        for completion in done {
            self.record(completion);
        }
        self.order(node, Order::Recorded { tokens });
        Ok(Reply::Done)
    }

    pub(super) fn give_back(&mut self, node: &NodeName, epoch: Epoch, tokens: &[Token]) -> Outcome {
        self.check_epoch(node, epoch)?;
        for token in tokens {
            if self.held_on(*token) == Some(node) {
                let executor = self.state.assignments[token].executor;
                self.return_task(*token);
                self.queue_changed(executor);
            }
        }
        Ok(Reply::Done)
    }

    pub(super) fn started(&mut self, node: &NodeName, epoch: Epoch, tokens: &[Token]) -> Outcome {
        self.check_epoch(node, epoch)?;
        for token in tokens {
            if self.held_on(*token) != Some(node) {
                continue;
            }
            let row = self.state.assignments.get_mut(token).expect("a held token has an assignment");
            if row.recalled {
                row.recalled = false;
                let executor = row.executor;
                self.changes.executors.insert(executor);
                self.promote(executor);
                self.executor_changed(executor);
            }
        }
        Ok(Reply::Done)
    }

    /// Reports are refused when they come from an earlier lease.
    pub(super) fn check_epoch(&self, node: &NodeName, epoch: Epoch) -> Result<(), Refusal> {
        let found = self.state.nodes.get(node).ok_or_else(|| Refusal::NodeNotFound(node.to_string()))?;
        if found.row.epoch != epoch {
            return Err(Refusal::StaleEpoch { node: node.to_string(), epoch: found.row.epoch.0 });
        }
        Ok(())
    }

    /// The node on which a token is held.
    pub(super) fn held_on(&self, token: Token) -> Option<&NodeName> {
        let row = self.state.assignments.get(&token)?;
        self.state.executors.get(&row.executor).map(|executor| &executor.row.node)
    }

    /// The start that gave a result. A task that was to be taken back, or was queued behind another one, may have been
    /// run before the state showed it as Running: then all that is known is that it has run by now.
    fn completed_attempt(&self, token: Token) -> Option<AttemptRow> {
        let row = self.state.assignments.get(&token)?;
        let node = self.held_on(token)?.clone();
        Some(AttemptRow { attempt: row.attempt, started: row.started.unwrap_or(self.wall), node, lost: None })
    }

    /// A result proves that its executor has entered its session, if that was not said before.
    fn entered_by_result(&mut self, token: Token) {
        let executor = self.state.assignments.get(&token).and_then(|row| self.state.executors.get(&row.executor));
        if let Some(executor) = executor.filter(|executor| executor.row.state == ExecutorState::Binding) {
            self.bound(executor.row.key);
        }
    }

    fn record(&mut self, completion: Completion) {
        let token = completion.token;
        self.entered_by_result(token);
        let Some(attempt) = self.completed_attempt(token) else { return };
        let Some(row) = self.free_place(token) else { return };
        self.publish(row.executor, &completion.attributes);
        if let Some(executor) = self.state.executors.get_mut(&row.executor) {
            executor.observe(completion.ran_us);
        }
        let executor = row.executor;
        if !row.cancelled {
            if let Some(session) = self.state.sessions.get_mut(&row.session) {
                session.row.crashes = 0;
            }
            let (ran_us, attempt) = (completion.ran_us, Some(attempt));
            match completion.outcome.bounded() {
                TaskOutcome::Succeed { output, message } => {
                    let ending =
                        Ending { state: TaskState::Succeed, output, message, ran_us, story: row.story, attempt };
                    self.end_task(row.session, row.task, ending);
                }
                TaskOutcome::Failed { output, message } => {
                    self.fail_attempt(Failure { row, attempt, output, message, ran_us });
                }
            }
        }
        self.queue_changed(executor);
    }
}
