//! Following many tasks of one session on one stream (0.7).
//!
//! A client keeps the stream open and registers tasks on it; what it is told begins with the present state of each. When
//! the coordinator is gone the stream goes on at another one, where every task that has not ended is registered anew.
//!
//! **Invariant:** the stream ends well only when its client has ended its half and every registered task has ended.
//!
//! **Invariant:** a registered task is left out of a stream that is opened again only when its last state was passed on.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use flame_proto::convert::parse_task_id;
use flame_proto::v1;
use flame_sdk::Connection;
use flame_sdk::forward::Following;
use flame_sdk::reopen::{Left, Reopening};
use futures::{StreamExt, stream};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use crate::stream::{Replies, leave};
use crate::told::{self, Told};

/// Registrations on their way to a coordinator.
const AHEAD_MAX: usize = 1024;

/// Most tasks that one stream follows at a time, as on the coordinators.
const WATCHED_TASKS_MAX: usize = 262_144;

/// A watch, wherever it is served.
struct Watch {
    connection: Connection,
    path: &'static str,
    metadata: MetadataMap,
    registrations: Streaming<Bytes>,
    /// Whether the client may register more.
    more: bool,
    /// The one session of this stream; its first registration names it.
    session: Option<String>,
    /// Registered tasks that have not ended, by id.
    open: BTreeMap<String, Told>,
    reopening: Reopening,
    link: Option<Link>,
}

/// The stream to one coordinator.
struct Link {
    requests: mpsc::Sender<Bytes>,
    /// To be registered on it.
    unsent: VecDeque<Bytes>,
    following: Following,
}

/// Opens the stream at once, as coordinators do: what is wrong is said on it.
pub(crate) fn watch(
    connection: &Connection,
    path: &'static str,
    metadata: MetadataMap,
    registrations: Streaming<Bytes>,
) -> Replies {
    let watch = Watch {
        connection: connection.clone(),
        path,
        metadata,
        registrations,
        more: true,
        session: None,
        open: BTreeMap::new(),
        reopening: Reopening::new(connection),
        link: None,
    };
    stream::try_unfold(watch, |mut watch| async move {
        let next = watch.next().await?;
        Ok(next.map(|message| (message, watch)))
    })
    .boxed()
}

/// What happens next on a watch that is served.
enum Event {
    Registration(Option<Result<Bytes, Status>>),
    /// There is room for a registration.
    Room,
    Reply(Result<Option<Bytes>, Left>),
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if self.open.is_empty() && !self.more {
                return match &self.session {
                    Some(_) => Ok(None),
                    None => Err(Status::invalid_argument("the stream ended before the first registration")),
                };
            }
            let Some(link) = &mut self.link else {
                self.find_link().await?;
                continue;
            };
            match link.next(&mut self.registrations, self.more).await {
                Event::Registration(None) => self.more = false,
                Event::Registration(Some(registration)) => {
                    let request = self.register(registration?)?;
                    if let Some(link) = &mut self.link {
                        link.unsent.push_back(request);
                    }
                }
                Event::Room => link.send(),
                Event::Reply(Ok(Some(message))) => {
                    self.reopening.heard();
                    if self.is_news(&message)? {
                        return Ok(Some(message));
                    }
                }
                Event::Reply(Ok(None)) => {
                    let left = Left::Broken(link.following.ended());
                    self.leave(left).await?;
                }
                Event::Reply(Err(left)) => self.leave(left).await?,
            }
        }
    }

    /// One step towards a coordinator that serves it; as long as nothing is registered, towards a registration.
    async fn find_link(&mut self) -> Result<(), Status> {
        if self.open.is_empty() {
            match self.registrations.next().await {
                None => self.more = false,
                Some(registration) => {
                    self.register(registration?)?;
                }
            }
            return Ok(());
        }
        match self.open_link().await {
            Ok(link) => {
                self.open.values_mut().for_each(Told::on_reopened);
                self.link = Some(link);
                Ok(())
            }
            Err(left) => leave(&mut self.reopening, left).await,
        }
    }

    async fn open_link(&self) -> Result<Link, Left> {
        let (requests, outgoing) = mpsc::channel(AHEAD_MAX);
        let mut unsent: VecDeque<Bytes> = self.open.keys().map(|task| self.request(task)).collect();
        // The published server looks at the first request before it answers at all.
        if let Some(first) = unsent.pop_front() {
            let _has_room = requests.try_send(first);
        }
        let outgoing = ReceiverStream::new(outgoing);
        let following = self.connection.follow(self.path, self.metadata.clone(), outgoing).await?;
        Ok(Link { requests, unsent, following })
    }

    /// The coordinator is left; another one is looked for as soon as there is something to follow.
    async fn leave(&mut self, left: Left) -> Result<(), Status> {
        self.link = None;
        match left {
            Left::Broken(broken) if self.open.is_empty() => {
                self.connection.give_up(broken);
                Ok(())
            }
            left => leave(&mut self.reopening, left).await,
        }
    }

    /// Takes a registration; what goes on to the coordinator.
    fn register(&mut self, message: Bytes) -> Result<Bytes, Status> {
        let request = v1::WatchTaskRequest::decode(message)
            .map_err(|error| Status::invalid_argument(format!("this is no registration: {error}")))?;
        let session = self.session.get_or_insert_with(|| request.session_id.clone());
        if *session != request.session_id {
            let why = format!("this stream watches session {session}, not {}", request.session_id);
            return Err(Status::invalid_argument(why));
        }
        // By its number, as a coordinator names it. What is no number is answered under its own name.
        let task = parse_task_id(&request.task_id).map_or(request.task_id, |number| number.to_string());
        if self.open.len() >= WATCHED_TASKS_MAX && !self.open.contains_key(&task) {
            let why = format!("limit reached: watched tasks of one stream = {WATCHED_TASKS_MAX}");
            return Err(Status::resource_exhausted(why));
        }
        let request = self.request(&task);
        self.open.entry(task).or_default().owe();
        Ok(request)
    }

    fn request(&self, task: &str) -> Bytes {
        let session_id = self.session.clone().unwrap_or_default();
        v1::WatchTaskRequest { task_id: task.to_owned(), session_id }.encode_to_vec().into()
    }

    /// Whether the client is told.
    fn is_news(&mut self, message: &Bytes) -> Result<bool, Status> {
        let task = v1::Task::decode(message.clone())
            .map_err(|error| Status::internal(format!("the coordinator sent no task: {error}")))?;
        let state = told::state(&task);
        let (Some(metadata), Some(state)) = (task.metadata, state) else {
            return Err(Status::internal("the coordinator sent a task without a number or a state"));
        };
        // One that is not registered any more has ended: its client knows.
        let Some(told) = self.open.get_mut(&metadata.id) else { return Ok(false) };
        let is_news = told.hears(state);
        if told::is_last(state) {
            self.open.remove(&metadata.id);
        }
        Ok(is_news)
    }
}

impl Link {
    /// May be dropped and called again.
    async fn next(&mut self, registrations: &mut Streaming<Bytes>, more: bool) -> Event {
        let has_unsent = !self.unsent.is_empty();
        tokio::select! {
            reply = self.following.next() => Event::Reply(reply),
            room = self.requests.reserve(), if has_unsent => {
                // The stream says itself why nobody takes them any more.
                let _is_there = room;
                Event::Room
            }
            registration = registrations.next(), if more && !has_unsent => Event::Registration(registration),
        }
    }

    fn send(&mut self) {
        if let Some(request) = self.unsent.pop_front() {
            // A stream that broke says so as a reply; then everything is registered anew.
            let _is_broken = self.requests.try_send(request);
        }
    }
}
