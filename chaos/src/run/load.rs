//! Submits the tasks of a workload through several nodes at once, and watches them end.
//!
//! Each connection prefers another node: one talks to the leader, the others to followers. The published submit has no
//! number by which a repeated one would be recognised, so it is sent once; when its answer is lost, [`Load::resolve`]
//! asks the cluster whether the task exists, and only if it does not is it submitted again.
//!
//! Most submits keep to a window: so many tasks may be submitted and not finished. While no task can finish, as when a
//! leader has just died, all of these wait for results and nobody for an acknowledgement. So [`Load::submit`] has one
//! steady submitter outside the window, that submits one task after the other: through it every pause of writes is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use flame_jepsen::{Completion, Nonce};
use flame_sdk::{Connection, FlameError, TaskWatcher};
use flame_testkit::wait_until;
use flame_types::{TaskNo, TaskState};
use futures::StreamExt;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::run::ledger::Ledger;
use crate::run::workload::{Item, Workload};
use crate::service;

/// Calls that one connection has open at the same time.
const CALLS_PER_CONNECTION: usize = 48;

/// Between two submits of the steady submitter: how exactly it measures a pause.
const STEADY_EVERY: Duration = Duration::from_millis(10);

/// For everything that was submitted to end, once all faults are over.
const SETTLE_LIMIT: Duration = Duration::from_secs(180);

/// Clients at work. Cheap to clone.
#[derive(Clone)]
pub struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    session: String,
    clients: Vec<Client>,
    ledger: Arc<Ledger>,
    window: Semaphore,
    /// What was sent, by mark: needed to send it again.
    items: Mutex<BTreeMap<Nonce, (Item, Place)>>,
    /// Tasks that are under way and have no place in the window to give back.
    outside: std::sync::Mutex<BTreeSet<TaskNo>>,
}

/// Whether a task counts against the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Window,
    Outside,
}

/// Tasks that are not submitted yet, for all who submit.
type Queue = std::sync::Mutex<Box<dyn Iterator<Item = Item> + Send>>;

struct Client {
    connection: Connection,
    watcher: TaskWatcher,
}

impl Load {
    /// Clients that submit into `session`, one for each connection. They must be made inside a tokio runtime.
    ///
    /// # Panics
    /// If the window is so small that submits whose answers were lost could fill it.
    #[must_use]
    pub fn new(session: &str, connections: &[Connection], window: usize, ledger: Arc<Ledger>) -> Self {
        assert!(window > connections.len() * CALLS_PER_CONNECTION, "the window is smaller than the calls in flight");
        let mut incoming = Vec::new();
        let mut clients = Vec::new();
        for connection in connections {
            let (watcher, updates) = connection.watch_tasks(session);
            incoming.push(updates);
            clients.push(Client { connection: connection.clone(), watcher });
        }
        let shared = Shared {
            session: session.to_owned(),
            clients,
            ledger,
            window: Semaphore::new(window),
            items: Mutex::default(),
            outside: std::sync::Mutex::default(),
        };
        let load = Self { shared: Arc::new(shared) };
        for mut updates in incoming {
            let load = load.clone();
            tokio::spawn(async move {
                while let Some(update) = updates.next().await {
                    match update {
                        Ok(task) => load.on_update(&task),
                        Err(error) => eprintln!("a watch has ended: {error}"),
                    }
                }
            });
        }
        load
    }

    /// Submits every task of the workload; returns when each has been acknowledged, or its answer was lost.
    ///
    /// # Errors
    /// A submit that was refused: no fault of this crate's making excuses that.
    pub async fn submit(&self, workload: Workload, prefix: &str) -> Result<()> {
        let queue = queue(workload, prefix);
        tokio::try_join!(self.submit_within_window(&queue, Duration::ZERO), self.submit_steadily(&queue))?;
        Ok(())
    }

    /// The same within the window only, with so much time between one submit and the next: what a cluster gets then does
    /// not depend on how fast it answers, as long as the window holds.
    ///
    /// # Errors
    /// As [`Load::submit`].
    pub async fn submit_every(&self, workload: Workload, prefix: &str, every: Duration) -> Result<()> {
        self.submit_within_window(&queue(workload, prefix), every).await
    }

    /// The same with whatever comes, until nothing comes any more.
    ///
    /// # Errors
    /// As [`Load::submit`].
    pub async fn submit_items(
        &self,
        items: impl Iterator<Item = Item> + Send + 'static,
        every: Duration,
    ) -> Result<()> {
        self.submit_within_window(&std::sync::Mutex::new(Box::new(items)), every).await
    }

    async fn submit_within_window(&self, queue: &Queue, every: Duration) -> Result<()> {
        let (due, inbox) = mpsc::channel::<Item>(CALLS_PER_CONNECTION);
        let inbox = Arc::new(Mutex::new(inbox));
        let mut callers: JoinSet<Result<()>> = JoinSet::new();
        for at in 0..self.shared.clients.len() * CALLS_PER_CONNECTION {
            let (load, inbox) = (self.clone(), inbox.clone());
            callers.spawn(async move {
                loop {
                    let next = inbox.lock().await.recv().await;
                    let Some(item) = next else { return Ok(()) };
                    load.submit_one(at % load.shared.clients.len(), item, Place::Window).await?;
                }
            });
        }
        drop(inbox);
        let began = Instant::now();
        for at in 0.. {
            sleep_until(began + every * at).await;
            let place = self.shared.window.acquire().await.context("the window is closed")?;
            let Some(item) = next(queue) else { break };
            // It comes back when the task has ended, however its submit went.
            place.forget();
            if due.send(item).await.is_err() {
                break;
            }
        }
        drop(due);
        while let Some(caller) = callers.join_next().await {
            caller.context("a caller broke")??;
        }
        Ok(())
    }

    /// Submits one after the other, through one connection after the other, whether or not anything ends.
    async fn submit_steadily(&self, queue: &Queue) -> Result<()> {
        let mut pace = interval(STEADY_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for at in (0..self.shared.clients.len()).cycle() {
            pace.tick().await;
            let Some(item) = next(queue) else { break };
            self.submit_one(at, item, Place::Outside).await?;
        }
        Ok(())
    }

    async fn submit_one(&self, at: usize, item: Item, place: Place) -> Result<()> {
        let Shared { session, clients, ledger, .. } = &*self.shared;
        let client = &clients[at];
        self.shared.items.lock().await.insert(item.nonce.clone(), (item.clone(), place));
        ledger.submitting();
        let begun = ledger.now();
        match client.connection.create_task(session, Some(item.input)).await {
            Ok(task) => {
                let task = task.number()?;
                ledger.acknowledged(item.nonce, task);
                ledger.took(begun);
                self.follow(client, task, place).await
            }
            Err(FlameError::UnknownOutcome(_)) => {
                ledger.lost_answer(item.nonce);
                Ok(())
            }
            Err(error) => {
                ledger.refused();
                Err(anyhow!("the submit of {} was refused: {error}", item.nonce))
            }
        }
    }

    async fn follow(&self, client: &Client, task: TaskNo, place: Place) -> Result<()> {
        if place == Place::Outside {
            self.outside().insert(task);
        }
        client.watcher.add(task).await.context("follow the task")
    }

    fn on_update(&self, task: &flame_sdk::model::Task) {
        let (Ok(number), Some(completion)) = (task.number(), completion(task)) else { return };
        let is_new = self.shared.ledger.told(number, completion);
        if is_new && !self.outside().remove(&number) {
            self.shared.window.add_permits(1);
        }
    }

    fn outside(&self) -> std::sync::MutexGuard<'_, BTreeSet<TaskNo>> {
        // Every change is one call, so a panic elsewhere leaves it whole.
        self.shared.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the cluster about every submit whose answer was lost: what exists counts as acknowledged from now on, what
    /// does not is submitted again. The answer comes from a read that waits for the leader's term to be established,
    /// so a submit that the dead leader had taken is either in it or will never be.
    ///
    /// # Errors
    /// If the tasks cannot be listed, or a submit is refused.
    pub async fn resolve(&self) -> Result<()> {
        let unresolved = self.shared.ledger.unresolved();
        if unresolved.is_empty() {
            return Ok(());
        }
        let existing = self.list().await?;
        for (position, nonce) in unresolved.into_iter().enumerate() {
            let at = position % self.shared.clients.len();
            let known = self.shared.items.lock().await.get(&nonce).cloned();
            let (item, place) = known.context("it was submitted by us")?;
            if let Some(task) = existing.get(&nonce) {
                self.shared.ledger.found(&nonce, *task);
                self.follow(&self.shared.clients[at], *task, place).await?;
            } else {
                self.shared.ledger.found_missing(&nonce);
                self.submit_one(at, item, place).await?;
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<BTreeMap<Nonce, TaskNo>> {
        let client = self.shared.clients.first().context("there is no client")?;
        let mut tasks = std::pin::pin!(client.connection.list_tasks(&self.shared.session));
        let mut found = BTreeMap::new();
        while let Some(task) = tasks.next().await {
            let task = task?;
            let input = task.spec.input.as_deref().unwrap_or_default();
            let (nonce, _) = service::parse(input).with_context(|| format!("task {} is not ours", task.metadata.id))?;
            found.insert(Nonce::new(nonce), task.number()?);
        }
        Ok(found)
    }

    /// Waits until so many tasks are acknowledged and all of them have ended; lost answers are resolved on the way.
    ///
    /// # Errors
    /// If that does not come to pass in time.
    pub async fn settle(&self, tasks: u64) -> Result<()> {
        let what = format!("all {tasks} tasks are acknowledged and have ended");
        wait_until(SETTLE_LIMIT, &what, || async {
            self.resolve().await?;
            let tally = self.shared.ledger.tally();
            ensure!(tally.acknowledged >= tasks && tally.finished >= tally.acknowledged, "{tally:?}");
            Ok(())
        })
        .await
    }
}

fn queue(workload: Workload, prefix: &str) -> Queue {
    std::sync::Mutex::new(Box::new(workload.items(prefix)))
}

fn next(queue: &Queue) -> Option<Item> {
    // Whoever panicked has taken its item or has not.
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// How a task has ended, if it has.
pub(crate) fn completion(task: &flame_sdk::model::Task) -> Option<Completion> {
    let state = task.status.state.known().filter(|state: &TaskState| state.is_terminal())?;
    Some(Completion { state, output: task.spec.output.as_ref().map(|output| output.to_vec()) })
}
