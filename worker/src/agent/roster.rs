//! Executors and tokens of this worker, and what a frame or a report does to them.
//!
//! Nothing here waits or talks: what is to be said goes into the [`Outbox`]. Executors are seen through [`Runs`], so
//! that all of this is tested without a process.
//!
//! **Invariant:** a token is known from its Assign until it is given back or its result is let go; a known token is
//! never queued again.
//!
//! **Invariant:** an executor that ended stays listed in Hello, with its tokens, until its end was told on a stream that
//! answered a later heartbeat: so the leader hears the cause, and not only that something is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::worker_up::Frame;
use flame_types::limits::NODE_EXECUTORS_MAX;
use flame_types::{ExecutorKey, SessionKey, Token};

use super::held::Held;
use super::outbox::{Item, Outbox};
use crate::attributes;
use crate::executor::{BIND_SHIM, End, Executor, Parts, Report, Revoked};
use crate::metrics::Holdings;
use crate::options::Limits;

/// An executor as the roster needs it.
pub(crate) trait Runs {
    fn push(&self, tasks: Vec<ha::Task>) -> Vec<Token>;
    fn recall(&self, token: Token) -> Revoked;
    fn cancel(&self, token: Token) -> Revoked;
    fn rebind(&self, start: ha::Start) -> Vec<Token>;
    fn stop(&self, grace: Duration) -> Vec<Token>;
}

/// Whoever starts executors.
pub(crate) trait Starts {
    type Executor: Runs;
    fn start(&self, start: ha::Start) -> Self::Executor;
}

/// Executors and tokens of this worker.
#[derive(Debug)]
pub(crate) struct Roster<S: Starts> {
    starter: S,
    limits: Limits,
    executors: BTreeMap<ExecutorKey, Entry<S::Executor>>,
    /// Tasks that are queued or run, and where.
    working: HashMap<Token, ExecutorKey>,
    held: Held,
    /// Given back since the last Hello, which named them, while there was no stream. A Hello that does not name them
    /// says it too; saying it again later would give back a task that was assigned here once more.
    unsaid: Answers,
    /// Executors that are ready with a task at hand: its result will say so, if it comes soon.
    ready_later: BTreeSet<ExecutorKey>,
    seen: Token,
    is_attached: bool,
    is_stopping: bool,
}

#[derive(Debug)]
struct Entry<E> {
    handle: E,
    session: SessionKey,
    resources: Option<ha::Resources>,
    is_ready: bool,
    /// Whether the leader has heard that it is ready.
    is_told: bool,
    /// Whether a task came before it was ready.
    has_first_task: bool,
    attributes: BTreeSet<Bytes>,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Ending {
    end: End,
    /// Number of the last heartbeat before it was sent.
    sent_after: Option<u64>,
}

/// Tokens that were asked back, by what became of them.
#[derive(Debug, Default)]
struct Answers {
    returned: Vec<u64>,
    started: Vec<u64>,
}

impl<S: Starts> Roster<S> {
    pub(crate) fn new(starter: S, limits: Limits, held: Held) -> Self {
        Self {
            starter,
            limits,
            executors: BTreeMap::new(),
            working: HashMap::new(),
            held,
            unsaid: Answers::default(),
            ready_later: BTreeSet::new(),
            seen: Token(0),
            is_attached: false,
            is_stopping: false,
        }
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// How much there is of everything.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            tasks: self.working.len(),
            executors: self.executors.len(),
            results: self.held.len(),
            result_bytes: self.held.bytes(),
        }
    }

    /// Whether every executor has ended.
    pub(crate) fn is_quiet(&self) -> bool {
        self.executors.values().all(|entry| entry.ending.is_some())
    }

    // ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────

    /// Fills in what this worker holds.
    pub(crate) fn describe(&mut self, hello: &mut ha::Hello) {
        self.unsaid = Answers::default();
        hello.seen = self.seen.0;
        hello.tokens = self.working.keys().copied().chain(self.held.tokens()).map(|token| token.0).collect();
        hello.tokens.sort_unstable();
        hello.executors = self.executors.iter_mut().map(|(key, entry)| entry.describe(*key)).collect();
    }

    /// The leader took us: forgets what it does not hold, and says what it cannot know from the Hello. Returns how many
    /// tasks are others' now.
    pub(crate) fn on_welcome(&mut self, welcome: &ha::Welcome, outbox: &mut Outbox) -> usize {
        self.is_attached = true;
        if self.is_stopping {
            outbox.push_frame(Frame::Stopping(ha::Stopping {}));
        }
        for token in welcome.settled.iter().copied().map(Token) {
            self.held.remove(token);
            if let Some(executor) = self.working.remove(&token)
                && let Some(entry) = self.executors.get(&executor)
            {
                entry.handle.cancel(token);
            }
        }
        std::mem::take(&mut self.unsaid).push_to(outbox);
        self.held.tokens().for_each(|token| outbox.push(Item::Result(token)));
        for (key, entry) in &mut self.executors {
            if entry.ending.is_some() {
                outbox.push(Item::End(*key));
            } else if entry.is_ready && !entry.is_told {
                entry.is_told = true;
                outbox.push_frame(entry.ready_frame(*key));
            }
        }
        // While a lease lasts, what the leader does not hold is recorded: it was only not told.
        if welcome.lapsed { welcome.settled.len() } else { 0 }
    }

    /// The stream broke.
    pub(crate) fn on_detached(&mut self) {
        self.is_attached = false;
        // The next Hello says it.
        self.ready_later.clear();
    }

    /// Whether something waits for [`Roster::tell_ready`].
    pub(crate) fn has_ready_later(&self) -> bool {
        !self.ready_later.is_empty()
    }

    /// The first tasks take longer: says that their executors are ready.
    pub(crate) fn tell_ready(&mut self, outbox: &mut Outbox) {
        for executor in std::mem::take(&mut self.ready_later) {
            if let Some(entry) = self.executors.get_mut(&executor).filter(|entry| entry.is_ready && !entry.is_told) {
                entry.is_told = true;
                outbox.push_frame(entry.ready_frame(executor));
            }
        }
    }

    /// The leader has read everything up to this heartbeat: ends told before it are done with.
    pub(crate) fn on_lease_ack(&mut self, heartbeat: u64) {
        let done = |entry: &Entry<S::Executor>| {
            entry.ending.as_ref().is_some_and(|ending| ending.sent_after.is_some_and(|sent| sent < heartbeat))
        };
        let gone: BTreeSet<ExecutorKey> =
            self.executors.iter().filter(|(_, entry)| done(entry)).map(|(key, _)| *key).collect();
        if !gone.is_empty() {
            self.executors.retain(|key, _| !gone.contains(key));
            self.working.retain(|_, executor| !gone.contains(executor));
        }
    }

    /// The frame that tells the end of an executor, if that is still to be told.
    pub(crate) fn tell_end(&mut self, executor: ExecutorKey, last_heartbeat: u64) -> Option<Frame> {
        let ending = self.executors.get_mut(&executor)?.ending.as_mut()?;
        ending.sent_after = Some(last_heartbeat);
        Some(end_frame(executor, &ending.end))
    }

    // ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn on_start(&mut self, start: ha::Start, outbox: &mut Outbox) {
        let key = ExecutorKey(start.executor);
        let session = SessionKey(start.session);
        if let Some(entry) = self.executors.get_mut(&key) {
            if entry.ending.is_some() {
                outbox.push(Item::End(key));
            } else if entry.session != session {
                entry.session = session;
                entry.is_ready = false;
                entry.is_told = false;
                entry.has_first_task = false;
                let returned = entry.handle.rebind(start);
                self.on_returned(returned, outbox);
            } else if entry.is_ready {
                self.ready_later.remove(&key);
                entry.is_told = true;
                outbox.push_frame(entry.ready_frame(key));
            }
            return;
        }
        if self.is_stopping {
            tracing::info!(executor.id = %key, "this worker stops and starts no executor any more");
            outbox.push_frame(end_frame(key, &End::Left));
            return;
        }
        if self.executors.len() >= NODE_EXECUTORS_MAX {
            let message = format!("this worker runs {NODE_EXECUTORS_MAX} executors, as many as it may");
            let end = End::Bind { return_code: BIND_SHIM, message };
            outbox.push_frame(end_frame(key, &end));
            return;
        }
        let resources = start.resources;
        let entry = Entry {
            handle: self.starter.start(start),
            session,
            resources,
            is_ready: false,
            is_told: false,
            has_first_task: false,
            attributes: BTreeSet::new(),
            ending: None,
        };
        self.executors.insert(key, entry);
    }

    pub(crate) fn on_assign(&mut self, tasks: Vec<ha::Task>, outbox: &mut Outbox) {
        let mut answers = Answers::default();
        let mut batches: BTreeMap<ExecutorKey, Vec<ha::Task>> = BTreeMap::new();
        for task in tasks {
            let token = Token(task.token);
            self.seen = self.seen.max(token);
            if self.held.get(token).is_some() {
                outbox.push(Item::Result(token));
                continue;
            }
            if self.working.contains_key(&token) {
                continue;
            }
            let executor = ExecutorKey(task.executor);
            self.working.insert(token, executor);
            batches.entry(executor).or_default().push(task);
        }
        for (executor, tasks) in batches {
            let refused = match self.executors.get_mut(&executor) {
                Some(entry) if entry.ending.is_none() => {
                    entry.has_first_task |= !entry.is_ready;
                    entry.handle.push(tasks)
                }
                Some(_) | None => tasks.iter().map(|task| Token(task.token)).collect(),
            };
            for token in refused {
                self.working.remove(&token);
                answers.returned.push(token.0);
            }
        }
        answers.push_to(outbox);
    }

    pub(crate) fn on_recall(&mut self, tokens: &[u64], outbox: &mut Outbox) {
        self.take_back(tokens, outbox, S::Executor::recall);
    }

    pub(crate) fn on_cancel(&mut self, tokens: &[u64], outbox: &mut Outbox) {
        self.take_back(tokens, outbox, S::Executor::cancel);
    }

    pub(crate) fn on_stop(&mut self, executor: ExecutorKey, outbox: &mut Outbox) {
        let Some(entry) = self.executors.get(&executor) else {
            outbox.push_frame(end_frame(executor, &End::Left));
            return;
        };
        if entry.ending.is_some() {
            outbox.push(Item::End(executor));
            return;
        }
        let returned = entry.handle.stop(self.limits.cancel_grace);
        self.on_returned(returned, outbox);
    }

    pub(crate) fn on_recorded(&mut self, tokens: &[u64]) {
        tokens.iter().for_each(|token| self.held.remove(Token(*token)));
    }

    /// The whole worker stops: no executor starts any more, and the running ones end. The leader hears that before any
    /// task comes back to it, or it would give that task to us again.
    pub(crate) fn stop_all(&mut self, grace: Duration, outbox: &mut Outbox) {
        self.is_stopping = true;
        if self.is_attached {
            outbox.push_frame(Frame::Stopping(ha::Stopping {}));
        }
        let returned = self.executors.values().flat_map(|entry| entry.handle.stop(grace)).collect();
        self.on_returned(returned, outbox);
    }

    // ── reports ─────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn on_report(&mut self, report: Report, outbox: &mut Outbox) {
        match report {
            Report::Ready { executor, session, attributes } => self.on_ready(executor, session, attributes, outbox),
            Report::Done { executor, completions } => self.on_done(executor, completions, outbox),
            Report::Returned { tokens } => self.on_returned(tokens, outbox),
            Report::Ended { executor, end } => {
                // How it ended depends on whether it had entered.
                self.tell_ready(outbox);
                if let Some(entry) = self.executors.get_mut(&executor) {
                    entry.ending = Some(Ending { end, sent_after: None });
                    if self.is_attached {
                        outbox.push(Item::End(executor));
                    }
                }
            }
        }
    }

    fn on_ready(
        &mut self,
        executor: ExecutorKey,
        session: SessionKey,
        reported: Option<ha::Attributes>,
        outbox: &mut Outbox,
    ) {
        let is_attached = self.is_attached;
        let Some(entry) = self.executors.get_mut(&executor) else { return };
        entry.take_over(executor, reported.as_ref());
        // It may have been told to enter another session meanwhile: then it is not ready at all.
        if entry.session == session {
            entry.is_ready = true;
            // What it publishes is said at once; only the bare news can wait for a result that proves it.
            let is_bare = reported.is_none_or(|reported| reported.publish.is_empty() && reported.retract.is_empty());
            if is_attached && is_bare && entry.has_first_task {
                self.ready_later.insert(executor);
                return;
            }
            entry.is_told = is_attached;
            if is_attached {
                outbox.push_frame(entry.ready_frame(executor));
            }
        }
    }

    fn on_done(&mut self, executor: ExecutorKey, completions: Vec<ha::Completion>, outbox: &mut Outbox) {
        let mut entry = self.executors.get_mut(&executor);
        for completion in completions {
            if let Some(entry) = &mut entry {
                entry.take_over(executor, completion.attributes.as_ref());
            }
            let token = Token(completion.token);
            // A token that the leader called settled meanwhile is of no use to anybody.
            if self.working.remove(&token).is_some() {
                self.held.insert(completion);
                if let Some(entry) = &mut entry
                    && self.ready_later.remove(&executor)
                {
                    entry.is_told = true;
                }
                if self.is_attached {
                    outbox.push(Item::Result(token));
                }
            }
        }
    }

    // ── giving back ─────────────────────────────────────────────────────────────────────────────────────────────

    fn take_back(&mut self, tokens: &[u64], outbox: &mut Outbox, take: impl Fn(&S::Executor, Token) -> Revoked) {
        let mut answers = Answers::default();
        for token in tokens.iter().copied().map(Token) {
            let revoked = match self.working.get(&token) {
                Some(executor) => match self.executors.get(executor) {
                    // What a dead executor had begun is told with its end.
                    Some(entry) if entry.ending.is_some() => Revoked::Started,
                    Some(entry) => take(&entry.handle, token),
                    None => Revoked::Unknown,
                },
                None => Revoked::Unknown,
            };
            match revoked {
                Revoked::Returned => {
                    self.working.remove(&token);
                    answers.returned.push(token.0);
                }
                // Known but no longer queued nor running: its result is on its way from the executor to us.
                Revoked::Unknown if self.working.contains_key(&token) || self.held.get(token).is_some() => {
                    answers.started.push(token.0);
                }
                Revoked::Unknown => answers.returned.push(token.0),
                Revoked::Started => answers.started.push(token.0),
            }
        }
        answers.push_to(outbox);
    }

    fn on_returned(&mut self, tokens: Vec<Token>, outbox: &mut Outbox) {
        for token in tokens {
            self.working.remove(&token);
            self.unsaid.returned.push(token.0);
        }
        if self.is_attached {
            std::mem::take(&mut self.unsaid).push_to(outbox);
        }
    }
}

impl<E> Entry<E> {
    fn describe(&mut self, key: ExecutorKey) -> ha::HeldExecutor {
        self.is_told = self.is_ready;
        ha::HeldExecutor {
            executor: key.0,
            session: self.session.0,
            ready: self.is_ready,
            resources: self.resources,
            attributes: self.attributes.iter().cloned().collect(),
        }
    }

    /// Says all that the executor publishes, so that saying it twice changes nothing.
    fn ready_frame(&self, key: ExecutorKey) -> Frame {
        let publish: Vec<Bytes> = self.attributes.iter().cloned().collect();
        let attributes = (!publish.is_empty()).then_some(ha::Attributes { publish, retract: Vec::new() });
        Frame::Ready(ha::ExecutorReady { executor: key.0, session: self.session.0, attributes })
    }

    fn take_over(&mut self, executor: ExecutorKey, reported: Option<&ha::Attributes>) {
        let left_out = reported.map_or(0, |reported| attributes::apply(&mut self.attributes, reported));
        if left_out > 0 {
            tracing::warn!(executor.id = %executor, left_out, "the executor publishes more keys than are kept");
        }
    }
}

impl Answers {
    fn push_to(self, outbox: &mut Outbox) {
        let Self { returned, started } = self;
        if !returned.is_empty() || !started.is_empty() {
            outbox.push_frame(Frame::RevokeAnswer(ha::RevokeAnswer { returned, started }));
        }
    }
}

fn end_frame(executor: ExecutorKey, end: &End) -> Frame {
    use ha::executor_failed::Cause;
    let failed = |started: Vec<u64>, cause| {
        Frame::Failed(ha::ExecutorFailed { executor: executor.0, started, cause: Some(cause) })
    };
    match end {
        End::Left => Frame::Left(ha::ExecutorLeft { executor: executor.0 }),
        End::Bind { return_code, message } => {
            let cause = Cause::Bind(ha::BindFailure { return_code: *return_code, message: message.clone() });
            failed(Vec::new(), cause)
        }
        End::Crashed { started, message } => {
            failed(started.iter().map(|token| token.0).collect(), Cause::Crashed(message.clone()))
        }
    }
}

impl Runs for Executor {
    fn push(&self, tasks: Vec<ha::Task>) -> Vec<Token> {
        Executor::push(self, tasks)
    }

    fn recall(&self, token: Token) -> Revoked {
        Executor::recall(self, token)
    }

    fn cancel(&self, token: Token) -> Revoked {
        Executor::cancel(self, token)
    }

    fn rebind(&self, start: ha::Start) -> Vec<Token> {
        Executor::rebind(self, start)
    }

    fn stop(&self, grace: Duration) -> Vec<Token> {
        Executor::stop(self, grace)
    }
}

impl Starts for Parts {
    type Executor = Executor;

    fn start(&self, start: ha::Start) -> Executor {
        Executor::start(self.clone(), start)
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
