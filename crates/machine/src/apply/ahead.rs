//! A task that is given out before its entry.
//!
//! Who waits for the end of a single task, and gets no answer before, pays for two entries: one that adds the task, one that
//! records its result. The leader may see what the first of them will do, and give the task out at once; the result, if it
//! comes soon enough, goes into the same entry, behind the command that adds the task.
//!
//! **Invariant:** a token is given out once, also to a task that nobody has recorded. The leader looks ahead only while all of its
//! log is applied and nothing is on its way into it, and writes the command as the first of the next entry, so it is the next
//! token when that entry comes: [`Apply::reserve`] takes it before anything else of the entry can. If the entry is never
//! written, then because the leader is not the leader any more, and the next one begins with leaving a token out.
//! So a result under that token is the result of that task, or nobody's.

use flame_types::{Epoch, ExecutorKey, NodeName, SessionKey, TaskNo, Token};

use super::batch::{Apply, Outcome};
use crate::command::{Ahead, Command, Item, Submit};
use crate::effect::Order;
use crate::reply::Reply;
use crate::state::State;

/// Only tasks of an application whose tasks are that short on average, in microseconds: the entry waits for the result, and
/// if the leader dies meanwhile, the task has run for nobody.
const RAN_US_MAX: u64 = 1_000;

/// What the entry of a task will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The worker that gets it.
    pub node: NodeName,
    /// Its lease.
    pub epoch: Epoch,
    /// What it is told.
    pub order: Order,
    /// For the command.
    pub ahead: Ahead,
}

/// A new task, and who has it already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenOut {
    session: SessionKey,
    task: TaskNo,
    pub(super) executor: ExecutorKey,
    pub(super) token: Token,
}

impl State {
    /// What a submit would do if it were the next command, in the plain case: one short task without conditions, and an
    /// executor that has nothing to do. Nothing depends on whether this is right; it had better be.
    #[must_use]
    pub fn foresee(&self, submit: &Submit) -> Option<Foreseen> {
        let key = *self.ids.get(&submit.session)?;
        let session = self.sessions.get(&key)?;
        let is_plain = submit.inputs.count() == 1 && submit.options.is_default() && !self.cluster.disk_short;
        // One that cannot be told from a new one when it comes again could run again with it.
        let is_new = submit.idempotency_key.is_some_and(|key| !session.idempotency.contains_key(&key));
        let is_first = session.pending.next(session.row.head).is_none();
        if !is_plain || !is_new || !is_first || !self.may_dispatch(key) {
            return None;
        }
        let executor = session.free.first()?.executor;
        let found = &self.executors[&executor];
        let is_short = found.row.completed > 0 && found.row.ran_us_mean <= RAN_US_MAX;
        if !is_short || !found.is_idle() {
            return None;
        }
        let token = self.cluster.next_token;
        let order = Order::Assign {
            executor,
            session: key,
            task: session.row.next_task,
            attempt: 1,
            token,
            timeout_ms: session.terms.task_timeout_ms,
        };
        let node = &self.nodes[&found.row.node];
        Some(Foreseen { node: node.row.name.clone(), epoch: node.row.epoch, order, ahead: Ahead { token, executor } })
    }
}

impl Apply<'_> {
    /// The token of a task that is given out is drawn before deadlines pass: they may draw tokens, too.
    pub(super) fn reserve(&mut self, first: Option<&Item>) {
        let Some(Command::Lone { ahead: Some(ahead), .. }) = first.map(|item| &item.command) else { return };
        let next = self.state.cluster.next_token;
        if ahead.token == next {
            self.state.cluster.next_token = next.next();
            self.changes.cluster = true;
            self.reserved = Some(next);
        }
    }

    pub(super) fn lone(&mut self, submit: Submit, ahead: Option<Ahead>) -> Outcome {
        let next = self.state.ids.get(&submit.session).and_then(|key| self.state.sessions.get(key));
        let next = next.map(|session| session.row.next_task);
        let outcome = self.submit(submit);
        if let (Some(ahead), Ok(Reply::Submitted { session, first, .. })) = (ahead, &outcome)
            && self.reserved == Some(ahead.token)
            && next == Some(*first)
        {
            let Ahead { token, executor } = ahead;
            self.given_out = Some(GivenOut { session: *session, task: *first, executor, token });
        }
        outcome
    }

    /// Who has this task, if it is given out and the executor could still get it.
    pub(super) fn take_given_out(&mut self, session: SessionKey, task: TaskNo) -> Option<GivenOut> {
        let given_out = self.given_out.take_if(|given_out| (given_out.session, given_out.task) == (session, task))?;
        let executor = self.state.executors.get(&given_out.executor)?;
        (executor.is_idle() && executor.row.session == session && executor.listed.is_some()).then_some(given_out)
    }
}
