//! One worker that only speaks.
//!
//! **Invariant:** it never waits for room on its stream while frames come in, as a real worker does not.
//! **Invariant:** a stream that ends is an error: a measurement goes on with all workers or not at all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_hub_client::WorkerHubClient;
use flame_proto::ha::worker_up::Frame as Up;
use flame_types::Shim;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::wall;

/// What a worker of this release understands.
const FEATURE_LEVEL: u32 = 1;

/// How often it has a turn to say that it lives, and after how much silence it asks whether its connection still
/// stands: as real workers do.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
const PING_EVERY: Duration = Duration::from_secs(5);

/// Longer than real workers wait: a thousand of them share one process on a machine that is busy on purpose.
const PING_WITHIN: Duration = Duration::from_secs(20);

/// As real workers put results together.
const FRAMES_AHEAD: usize = 4;
const RESULTS_PER_FRAME_MAX: usize = 1024;

/// For a connection and the answer to the Hello: many come at the same time.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);

/// Most coordinators that are asked before one of them leads.
const HINTS_MAX: usize = 4;

/// What a task is said to have taken: about what an empty service takes.
const RAN_US: u64 = 20;

/// Memory of one executor, as sessions ask for it by default.
const EXECUTOR_BYTES: u64 = 1 << 30;

/// Who a worker is, and how much it offers.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) executors: u32,
    pub(super) nonce: u64,
}

/// When the results of the workers of this process were sent, and told to be recorded.
pub(super) type Journal = Arc<Mutex<Vec<String>>>;

/// An attached worker.
pub(super) struct Worker {
    up: mpsc::Sender<ha::WorkerUp>,
    down: Streaming<ha::WorkerDown>,
    heartbeat: Interval,
    roster: Roster,
}

impl Worker {
    /// Says Hello to this coordinator, or to the one that it names as its leader.
    pub(super) async fn attach(endpoint: &str, identity: &Identity, journal: Option<Journal>) -> Result<Self> {
        let attached = timeout(ATTACH_LIMIT, find_leader(endpoint, identity)).await;
        let (up, down) = attached.with_context(|| format!("{} was not welcomed in time", identity.name))??;
        let mut heartbeat = interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { up, down, heartbeat, roster: Roster { journal, ..Roster::default() } })
    }

    /// Serves until the stream ends; says why it did.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            let has_something_to_say = !self.roster.outbox.is_empty();
            tokio::select! {
                message = self.down.message() => match message.context("the stream to the leader broke")? {
                    Some(ha::WorkerDown { frame: Some(frame) }) => self.roster.on_frame(frame)?,
                    Some(ha::WorkerDown { frame: None }) => bail!("the leader sent a frame of an unknown kind"),
                    None => bail!("the leader ended the stream"),
                },
                _ = self.heartbeat.tick() => self.roster.on_heartbeat(),
                is_open = has_room(&self.up), if has_something_to_say => {
                    ensure!(is_open, "the leader reads no more");
                    self.say();
                }
            }
        }
    }

    /// Sends what there is room for.
    fn say(&mut self) {
        while self.up.capacity() > 0
            && let Some(frame) = self.roster.outbox.pop_front()
        {
            self.roster.has_spoken |= !matches!(frame, Up::Heartbeat(_));
            // The only sender has seen the room; that the stream broke meanwhile is told by the other direction.
            let _broken = self.up.try_send(ha::WorkerUp { frame: Some(frame) });
        }
    }
}

/// Waits for room; `false` when there will be none.
async fn has_room(up: &mpsc::Sender<ha::WorkerUp>) -> bool {
    up.reserve().await.is_ok()
}

/// Executors and tasks of a worker, and what is to be said about them.
#[derive(Default)]
struct Roster {
    heartbeats: u64,
    /// Of the last heartbeat that was answered.
    answered: u64,
    /// Something else was said since the last heartbeat.
    has_spoken: bool,
    /// The last turn for a heartbeat passed.
    has_paused: bool,
    /// The session of each executor.
    sessions: HashMap<u64, Arc<str>>,
    outbox: VecDeque<Up>,
    /// Results that are not recorded: session, task, and when they were sent. Kept only for a journal.
    unrecorded: HashMap<u64, (Arc<str>, u64, u64)>,
    journal: Option<Journal>,
}

impl Roster {
    /// Takes the turn when real workers do: every other one while there is nothing else to say.
    fn on_heartbeat(&mut self) {
        let is_settled = self.heartbeats > 1 && self.answered == self.heartbeats;
        if is_settled && !self.has_spoken && !self.has_paused {
            self.has_paused = true;
            return;
        }
        (self.has_spoken, self.has_paused) = (false, false);
        self.heartbeats += 1;
        self.outbox.push_front(Up::Heartbeat(ha::Heartbeat { number: self.heartbeats }));
    }

    fn on_frame(&mut self, frame: Down) -> Result<()> {
        match frame {
            Down::Start(start) => {
                self.sessions.insert(start.executor, start.session_id.into());
                let (executor, session) = (start.executor, start.session);
                self.outbox.push_back(Up::Ready(ha::ExecutorReady { executor, session, attributes: None }));
            }
            Down::Assign(assign) => assign.tasks.into_iter().for_each(|task| self.complete(task)),
            // All that was assigned has ended: the results are on their way.
            Down::Recall(ha::Recall { tokens }) | Down::Cancel(ha::Cancel { tokens }) => {
                let answer = ha::RevokeAnswer { returned: Vec::new(), started: tokens };
                self.outbox.push_back(Up::RevokeAnswer(answer));
            }
            Down::Stop(ha::Stop { executor }) => {
                self.sessions.remove(&executor);
                self.outbox.push_back(Up::Left(ha::ExecutorLeft { executor }));
            }
            Down::Recorded(recorded) => self.note(&recorded.tokens),
            Down::LeaseAck(ack) => self.answered = self.answered.max(ack.number),
            // Nobody asks a simulated worker what it has installed.
            Down::ReadInstallLog(_) => {}
            Down::Welcome(_) | Down::NotLeader(_) | Down::Refused(_) => bail!("the leader sent this worker away"),
        }
        Ok(())
    }

    fn complete(&mut self, task: ha::Task) {
        if self.journal.is_some()
            && let Some(session) = self.sessions.get(&task.executor)
        {
            self.unrecorded.insert(task.token, (Arc::clone(session), task.task, wall::now_us()));
        }
        let done = ha::Completion {
            token: task.token,
            succeed: true,
            output: task.input,
            ran_us: RAN_US,
            ..ha::Completion::default()
        };
        match self.outbox.back_mut() {
            Some(Up::Complete(last)) if last.done.len() < RESULTS_PER_FRAME_MAX => last.done.push(done),
            _ => self.outbox.push_back(Up::Complete(ha::Complete { done: vec![done] })),
        }
    }

    fn note(&mut self, tokens: &[u64]) {
        let Some(journal) = &self.journal else { return };
        let now = wall::now_us();
        let lines = tokens.iter().filter_map(|token| {
            let (session, task, sent) = self.unrecorded.remove(token)?;
            Some(format!("{session} {task} {sent} {now}"))
        });
        journal.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }
}

type Stream = (mpsc::Sender<ha::WorkerUp>, Streaming<ha::WorkerDown>);

async fn find_leader(endpoint: &str, identity: &Identity) -> Result<Stream> {
    let mut endpoint = endpoint.to_owned();
    for _ in 0..HINTS_MAX {
        let (up, mut down) = say_hello(&endpoint, identity).await?;
        match down.message().await?.and_then(|message| message.frame) {
            Some(Down::Welcome(_)) => return Ok((up, down)),
            Some(Down::NotLeader(answer)) if !answer.leader.is_empty() => endpoint = answer.leader,
            other => bail!("{} was not welcomed but answered {other:?}", identity.name),
        }
    }
    bail!("{HINTS_MAX} coordinators in a row named another leader")
}

async fn say_hello(endpoint: &str, identity: &Identity) -> Result<Stream> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned())?
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.with_context(|| format!("connect {}", identity.name))?;
    let (up, frames) = mpsc::channel(FRAMES_AHEAD);
    up.try_send(ha::WorkerUp { frame: Some(Up::Hello(hello(identity))) }).context("a new channel has room")?;
    let mut hub = WorkerHubClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let down = hub.attach(ReceiverStream::new(frames)).await.with_context(|| format!("attach {}", identity.name))?;
    Ok((up, down.into_inner()))
}

fn hello(identity: &Identity) -> ha::Hello {
    let executors = u64::from(identity.executors);
    ha::Hello {
        feature_level: FEATURE_LEVEL,
        node: identity.name.clone(),
        started_ms: wall::now_us() / 1_000,
        nonce: identity.nonce,
        hello: 1,
        host: Some(ha::Host { name: "simulated".to_owned(), ..ha::Host::default() }),
        capacity: Some(ha::Resources { cpu: executors, memory: executors * EXECUTOR_BYTES, gpu: 0 }),
        shims: vec![Shim::Host.number()],
        ..ha::Hello::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(journal: Option<Journal>) -> Roster {
        let mut roster = Roster { journal, ..Roster::default() };
        let start = ha::Start { executor: 4, session: 9, session_id: "bench-ab".to_owned(), ..ha::Start::default() };
        roster.on_frame(Down::Start(start)).expect("it is an order");
        roster
    }

    fn assign(tokens: std::ops::Range<u64>) -> Down {
        let task = |token| ha::Task {
            token,
            executor: 4,
            session: 9,
            task: token + 100,
            input: Some("in".into()),
            ..ha::Task::default()
        };
        Down::Assign(ha::Assign { tasks: tokens.map(task).collect() })
    }

    #[test]
    fn tasks_end_at_once_and_leave_together() -> Result<()> {
        let mut roster = started(None);
        roster.on_frame(assign(1..3))?;
        roster.on_frame(assign(3..4))?;
        roster.on_heartbeat();
        roster.on_frame(Down::Stop(ha::Stop { executor: 4 }))?;
        let said: Vec<Up> = roster.outbox.into_iter().collect();
        let [Up::Heartbeat(beat), Up::Ready(ready), Up::Complete(complete), Up::Left(left)] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!((beat.number, ready.executor, ready.session, left.executor), (1, 4, 9, 4));
        let done: Vec<_> = complete.done.iter().map(|done| (done.token, done.succeed, done.output.clone())).collect();
        assert_eq!(done, [1, 2, 3].map(|token| (token, true, Some("in".into()))));
        Ok(())
    }

    #[test]
    fn the_journal_has_what_was_recorded() -> Result<()> {
        let journal = Journal::default();
        let mut roster = started(Some(Arc::clone(&journal)));
        roster.on_frame(assign(1..3))?;
        roster.on_frame(Down::Recorded(ha::Recorded { tokens: vec![2, 7] }))?;
        let lines = journal.lock().expect("nobody panicked").clone();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("bench-ab 102 "), "{lines:?}");
        assert_eq!(roster.unrecorded.len(), 1);
        Ok(())
    }

    #[test]
    fn an_idle_worker_lets_every_other_turn_pass() -> Result<()> {
        let mut roster = Roster::default();
        let mut sent = Vec::new();
        for _ in 0..6 {
            roster.on_heartbeat();
            let number = match roster.outbox.pop_front() {
                Some(Up::Heartbeat(beat)) => Some(beat.number),
                other => {
                    assert_eq!(other, None);
                    None
                }
            };
            if let Some(number) = number {
                roster.on_frame(Down::LeaseAck(ha::LeaseAck { number }))?;
            }
            sent.push(number);
        }
        assert_eq!(sent, [Some(1), Some(2), None, Some(3), None, Some(4)]);
        Ok(())
    }

    #[test]
    fn a_worker_that_is_sent_away_is_an_error() {
        assert!(started(None).on_frame(Down::Refused(ha::Refused::default())).is_err());
    }
}
