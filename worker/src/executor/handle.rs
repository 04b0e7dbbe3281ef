//! The agent's handle to an executor.

use std::sync::Arc;
use std::time::Duration;

use flame_clock::SharedClock;
use flame_proto::ha;
use flame_types::{ExecutorKey, SessionKey, Token};
use tokio::sync::mpsc;

use super::life::Life;
use super::queue::{Queue, Revoked};
use super::report::Report;
use crate::gate::Gate;
use crate::shim::host::Host;

/// What every executor of a worker is made with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) host: Arc<Host>,
    pub(crate) clock: SharedClock,
    pub(crate) reports: mpsc::Sender<Report>,
    /// Whether tasks may begin.
    pub(crate) gate: Gate,
}

/// A running executor.
#[derive(Debug)]
pub(crate) struct Executor {
    queue: Arc<Queue>,
}

impl Executor {
    /// Starts the executor; what becomes of it is reported.
    pub(crate) fn start(parts: Parts, start: ha::Start) -> Self {
        let queue = Arc::new(Queue::new(SessionKey(start.session)));
        let life = Life::new(ExecutorKey(start.executor), start, Arc::clone(&queue), parts);
        tokio::spawn(life.run());
        Self { queue }
    }

    /// Queues tasks; answers those that this executor cannot run.
    pub(crate) fn push(&self, tasks: Vec<ha::Task>) -> Vec<Token> {
        self.queue.push(tasks)
    }

    /// Takes a task back that has not begun.
    pub(crate) fn recall(&self, token: Token) -> Revoked {
        self.queue.recall(token)
    }

    /// Takes a task back; one that has begun is given a limited time.
    pub(crate) fn cancel(&self, token: Token) -> Revoked {
        self.queue.cancel(token)
    }

    /// Serves another session with the same process. Answers the tasks that will not run.
    pub(crate) fn rebind(&self, start: ha::Start) -> Vec<Token> {
        self.queue.rebind(Box::new(start))
    }

    /// Ends; the running task may go on for `grace`. Answers the tasks that will not run.
    pub(crate) fn stop(&self, grace: Duration) -> Vec<Token> {
        self.queue.stop(grace)
    }
}
