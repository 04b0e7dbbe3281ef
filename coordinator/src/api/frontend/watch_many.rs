//! Following many tasks of one session on one stream (0.7).
//!
//! Every registration is answered with the present state at once, then with every further one until the last; a task
//! that has ended is forgotten, and may be registered again for another look. The stream stays open while its client
//! keeps it open: published clients keep one per session, and take its end for the failure of everything they wait for.
//! It ends
//!
//! * well, once the client has ended its half and every registered task has ended;
//! * with FAILED_PRECONDITION some time after its session was closed, when all tasks have ended and nothing more comes;
//! * with NOT_FOUND when the session is deleted, UNAVAILABLE when this node stops.
//!
//! **Invariant:** it never ends well while a registered task has not ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flame_clock::{Clock, SystemClock};
use flame_proto::convert::parse_task_id;
use flame_proto::v1;
use flame_types::{SessionKey, TaskNo, TaskState};
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::Status;

use super::tasks::{deleted, found_session, has_left, missing, removed, shown, shown_unknown};
use super::watch::stopping;
use crate::api::call::Call;
use crate::api::errors::invalid;
use crate::api::outbox::{Gone, Messages, Outbox, outbox};
use crate::api::read::{self, Standing, TASKS_PER_READ_MAX};
use crate::drive::events::{SessionChange, Subscription, TaskRange};
use crate::drive::gateway::Gateway;

/// Most tasks that one stream follows at a time.
pub const WATCHED_TASKS_MAX: usize = 262_144;

/// How long the stream of a closed session waits for further registrations before it ends: those that were on their way
/// when the session was closed are still answered.
const CLOSED_GRACE: Duration = Duration::from_millis(500);

/// Opens the stream at once; what is wrong with a registration is said on it.
pub fn watch<S>(gateway: &Gateway, call: Call, registrations: S) -> Messages<v1::Task>
where
    S: Stream<Item = Result<v1::WatchTaskRequest, Status>> + Send + Unpin + 'static,
{
    let (outbox, stream) = outbox(gateway.message_room());
    tokio::spawn(run(gateway.clone(), call, registrations, outbox));
    stream
}

async fn run<S>(gateway: Gateway, call: Call, mut registrations: S, outbox: Outbox<v1::Task>)
where
    S: Stream<Item = Result<v1::WatchTaskRequest, Status>> + Send + Unpin + 'static,
{
    let opened = tokio::select! {
        opened = open(&gateway, call, &mut registrations, &outbox) => opened,
        () = outbox.gone() => return,
    };
    let ended = match opened {
        Ok((mut watch, changes)) => watch.serve(registrations, changes).await,
        Err(status) => Err(End::Error(status)),
    };
    match ended {
        Ok(()) | Err(End::Gone) => {}
        Err(End::Error(status)) => outbox.fail(status).await,
    }
}

/// Why a stream ends before its client wants it to.
enum End {
    /// The client has gone away.
    Gone,
    /// The client is told why.
    Error(Status),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Error(status)
    }
}

/// Waits for the first registration: it names the session.
async fn open<'a, S>(
    gateway: &'a Gateway,
    call: Call,
    registrations: &mut S,
    outbox: &'a Outbox<v1::Task>,
) -> Result<(Watch<'a>, Subscription), Status>
where
    S: Stream<Item = Result<v1::WatchTaskRequest, Status>> + Unpin,
{
    let first = registrations.next().await;
    let first = first.ok_or_else(|| Status::invalid_argument("the stream ended before the first registration"))??;
    let call = call.again();
    let key = found_session(gateway, call, &first.session_id).await?;
    let changes = gateway.subscribe(key);
    let watch = Watch {
        gateway,
        call,
        outbox,
        key,
        session: first.session_id.clone(),
        followed: BTreeMap::new(),
        waiting: vec![first],
        closed: None,
    };
    Ok((watch, changes))
}

/// A stream that is served.
struct Watch<'a> {
    gateway: &'a Gateway,
    call: Call,
    outbox: &'a Outbox<v1::Task>,
    key: SessionKey,
    session: String,
    /// Registered tasks that have not ended, with the state that was sent last.
    followed: BTreeMap<TaskNo, TaskState>,
    /// Registrations that were received and not answered.
    waiting: Vec<v1::WatchTaskRequest>,
    /// When the stream of a closed session ends unless something is registered.
    closed: Option<Instant>,
}

impl Watch<'_> {
    async fn serve<S>(&mut self, mut registrations: S, mut changes: Subscription) -> Result<(), End>
    where
        S: Stream<Item = Result<v1::WatchTaskRequest, Status>> + Unpin,
    {
        let mut more = true;
        self.look_whether_closed().await?;
        loop {
            more &= self.receive_ready(&mut registrations)?;
            self.answer_registrations().await?;
            if self.followed.is_empty() && !more {
                return Ok(());
            }
            let over = self.closed.filter(|_| self.followed.is_empty());
            tokio::select! {
                registration = registrations.next(), if more => match registration {
                    Some(registration) => self.waiting.push(registration?),
                    None => more = false,
                },
                change = changes.next() => self.on_change(change).await?,
                () = sleep_until(over) => return Err(self.session_closed()),
                () = self.outbox.gone() => return Err(End::Gone),
            }
        }
    }

    /// Takes what has come in already, so that many registrations are answered with one look. `false` at the end.
    fn receive_ready<S>(&mut self, registrations: &mut S) -> Result<bool, End>
    where
        S: Stream<Item = Result<v1::WatchTaskRequest, Status>> + Unpin,
    {
        // Only behind one that is waited for: a stream that has ended must not be asked again.
        while !self.waiting.is_empty() && self.waiting.len() < TASKS_PER_READ_MAX {
            match registrations.next().now_or_never() {
                None => return Ok(true),
                Some(None) => return Ok(false),
                Some(Some(registration)) => self.waiting.push(registration?),
            }
        }
        Ok(true)
    }

    async fn answer_registrations(&mut self) -> Result<(), End> {
        let mut numbers = Vec::with_capacity(self.waiting.len());
        for registration in std::mem::take(&mut self.waiting) {
            if registration.session_id != self.session {
                let why = format!("this stream watches session {}, not {}", self.session, registration.session_id);
                return Err(End::Error(Status::invalid_argument(why)));
            }
            match parse_task_id(&registration.task_id) {
                Ok(number) => numbers.push(number),
                // One bad id must not end the stream for all others.
                Err(error) => self.send_unknown(registration.task_id, invalid(&error)).await?,
            }
        }
        if numbers.is_empty() {
            return Ok(());
        }
        self.closed = self.closed.map(|_| Instant::now() + CLOSED_GRACE);
        let unknown = self.show(&numbers, Answer::Always).await?;
        if unknown.is_empty() {
            return Ok(());
        }
        // They may have been submitted through another node a moment ago.
        self.gateway.barrier(self.call.again().deadline).await.map_err(Status::from)?;
        for number in self.show(&unknown, Answer::Always).await? {
            let why = missing(self.gateway, self.key, &self.session, number).await;
            self.send_unknown(number.to_string(), why).await?;
        }
        Ok(())
    }

    async fn on_change(&mut self, change: SessionChange) -> Result<(), End> {
        match change {
            SessionChange::Tasks { ended, moved } => {
                self.refresh(self.followed_in(&ended), Answer::Ended).await?;
                self.refresh(self.followed_in(&moved), Answer::WhenChanged).await
            }
            SessionChange::Resync => {
                self.refresh(self.followed.keys().copied().collect(), Answer::WhenChanged).await?;
                self.look_whether_closed().await
            }
            SessionChange::Session => self.look_whether_closed().await,
            SessionChange::Gone => Err(End::Error(deleted(&self.session))),
            SessionChange::Stopped => Err(End::Error(stopping())),
        }
    }

    /// The tasks of these ranges that are followed, each once.
    fn followed_in(&self, ranges: &[TaskRange]) -> Vec<TaskNo> {
        let ranges = ranges.iter().filter(|(first, last)| first <= last);
        let numbers = ranges.flat_map(|(first, last)| self.followed.range(*first..=*last));
        let numbers: BTreeSet<TaskNo> = numbers.map(|(number, _)| *number).collect();
        numbers.into_iter().collect()
    }

    /// Sends the tasks that have another state than was sent last.
    async fn refresh(&mut self, numbers: Vec<TaskNo>, answer: Answer) -> Result<(), End> {
        for number in self.show(&numbers, answer).await? {
            // A task that was there is not there any more: its session, or the task alone.
            if !has_left(self.gateway, self.key, number).await? {
                return Err(End::Error(deleted(&self.session)));
            }
            self.followed.remove(&number);
            self.send_unknown(number.to_string(), removed(&self.session, number)).await?;
        }
        Ok(())
    }

    /// Looks at tasks and sends them. Returns the numbers of which there is no task.
    async fn show(&mut self, numbers: &[TaskNo], answer: Answer) -> Result<Vec<TaskNo>, End> {
        let mut unknown = Vec::new();
        for some in numbers.chunks(TASKS_PER_READ_MAX) {
            let mut standings = self.standings(some, answer).await?;
            while !standings.is_empty() {
                let (found, rest) = read::tasks_that_stand(self.gateway, self.key, standings).await?;
                standings = rest;
                for (number, task) in found {
                    let Some(task) = task else {
                        unknown.push(number);
                        continue;
                    };
                    self.follow(number, task.state)?;
                    self.outbox.send(shown(&self.session, task, self.call.dialect)).await?;
                }
            }
        }
        Ok(unknown)
    }

    /// How those of these tasks stand that are to be sent.
    async fn standings(&self, numbers: &[TaskNo], answer: Answer) -> Result<Vec<(TaskNo, Standing)>, Status> {
        if answer == Answer::Ended {
            return Ok(numbers.iter().map(|number| (*number, Standing::Ended)).collect());
        }
        let mut standings = read::standings(self.gateway, self.key, numbers.to_vec()).await?;
        if answer == Answer::WhenChanged {
            standings.retain(|(number, now)| match now {
                Standing::Live { state, .. } => self.followed.get(number) != Some(state),
                Standing::Ended | Standing::Unknown => true,
            });
        }
        Ok(standings)
    }

    fn follow(&mut self, number: TaskNo, state: TaskState) -> Result<(), End> {
        if state.is_terminal() {
            self.followed.remove(&number);
            return Ok(());
        }
        if self.followed.len() >= WATCHED_TASKS_MAX && !self.followed.contains_key(&number) {
            let why = format!("limit reached: watched tasks of one stream = {WATCHED_TASKS_MAX}");
            return Err(End::Error(Status::resource_exhausted(why)));
        }
        self.followed.insert(number, state);
        Ok(())
    }

    async fn send_unknown(&self, id: String, why: Status) -> Result<(), End> {
        let task = shown_unknown(&self.session, id, why.message().to_owned(), SystemClock.wall());
        Ok(self.outbox.send(task).await?)
    }

    async fn look_whether_closed(&mut self) -> Result<(), End> {
        let key = self.key;
        let closed = self.gateway.with_state(move |state| state.closed().contains_key(&key)).await;
        if closed.map_err(Status::from)? && self.closed.is_none() {
            self.closed = Some(Instant::now() + CLOSED_GRACE);
        }
        Ok(())
    }

    fn session_closed(&self) -> End {
        End::Error(Status::failed_precondition(format!("session {} is closed", self.session)))
    }
}

/// When a look at a task is worth a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was registered.
    Always,
    /// It may have changed.
    WhenChanged,
    /// It has ended, and apply has said so: its rows tell all.
    Ended,
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
