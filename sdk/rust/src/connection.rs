//! Channels to the coordinators, and the one loop in which every call is tried.
//!
//! **Invariant:** after a lost answer a call is sent again only if it is done once all the same ([`Kind`]).
//! **Invariant:** a call ends within `Options::deadline`; an attempt within `Options::attempt_timeout`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::fate::{Fate, Trouble};
use crate::model::Members;
use crate::places::Places;
use crate::repeats::Kind;
use crate::request::{Heard, Mark, too_old};
use crate::retry::Backoff;
use crate::tls::{self, Misfits, TlsFiles};
use crate::{Endpoints, FlameError};

const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// How often a change that comes too late begins anew. Once is enough unless the cluster has very much to do.
const RENEWED_MAX: u32 = 5;

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// For a TCP (and TLS) connection to come up.
    pub connect_timeout: Duration,
    /// For one attempt of a call; for one silence of a stream that must not be silent.
    pub attempt_timeout: Duration,
    /// For a call with all its attempts; for a watch or a stream until it is served for the first time.
    pub deadline: Duration,
    /// For a watch or a stream that was served, and that no coordinator serves any more: what it waits for may go on
    /// meanwhile, and comes once the cluster has a leader again.
    pub patience: Duration,
    /// Between two pings on a connection.
    pub keep_alive_interval: Duration,
    /// For the answer to a ping; a connection that misses it is given up.
    pub keep_alive_timeout: Duration,
    /// Certificates, before those that the endpoints were found with.
    pub tls: TlsFiles,
    /// Whether coordinators that are heard of are turned to even when one endpoint only was given. Without it, who was
    /// given one coordinator wants that one.
    pub discovers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(60),
            // As long as the cluster remembers a client that is away.
            patience: Duration::from_secs(600),
            keep_alive_interval: Duration::from_secs(5),
            keep_alive_timeout: Duration::from_secs(5),
            tls: TlsFiles::default(),
            discovers: false,
        }
    }
}

/// A client of one cluster. Cheap to clone; clones share their channels.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Endpoints,
    places: Places,
    /// Number of the place that answered last.
    current: AtomicUsize,
    /// The leader was found, and no coordinator was left since.
    knows_leader: AtomicBool,
    options: Options,
    /// What changes name beside their request ids.
    heard: Heard,
    /// Encrypts what goes to `https` endpoints.
    tls: Option<flame_tls::Client>,
    /// Whether an attempt that failed is followed by another.
    tries_again: bool,
}

/// The end of a call without a result.
pub(crate) struct Failed {
    pub(crate) why: Why,
    /// Certain: nothing was done, because the coordinators could not tell; with the number that was to be named.
    pub(crate) number: Option<u64>,
}

/// Why a call has no result.
pub(crate) enum Why {
    /// A coordinator decided against it.
    Refused(Status),
    /// No coordinator has answered to the purpose.
    GaveUp(FlameError),
}

impl Failed {
    fn because(error: FlameError) -> Self {
        Self { why: Why::GaveUp(error), number: None }
    }

    fn error(self) -> FlameError {
        match self.why {
            Why::Refused(status) => FlameError::from_answer(&status),
            Why::GaveUp(error) => error,
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("endpoints", &self.shared.endpoints).finish_non_exhaustive()
    }
}

impl Connection {
    /// A client of the cluster at `endpoints`. Connects at the first call; must be made inside a tokio runtime.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when certificates cannot be used; it names the setting and the file.
    pub fn open(endpoints: Endpoints, options: Options) -> Result<Self, FlameError> {
        let tls = tls::client(endpoints.urls(), &options.tls, endpoints.tls())?;
        Self::make(endpoints, options, tls, true)
    }

    /// A client of one node of the same cluster, with a deadline of its own.
    pub(crate) fn to_node(&self, endpoint: &str, deadline: Duration) -> Result<Self, FlameError> {
        self.single(endpoint, deadline, true)
    }

    /// The same for questions about the node itself: that it cannot be reached is an answer, and not asked twice.
    pub(crate) fn one_try_at(&self, endpoint: &str, deadline: Duration) -> Result<Self, FlameError> {
        self.single(endpoint, deadline, false)
    }

    fn single(&self, endpoint: &str, deadline: Duration, tries_again: bool) -> Result<Self, FlameError> {
        let options = Options { deadline, attempt_timeout: deadline, ..self.shared.options.clone() };
        Self::make(self.shared.endpoints.single(endpoint)?, options, self.shared.tls.clone(), tries_again)
    }

    fn make(
        endpoints: Endpoints,
        options: Options,
        tls: Option<flame_tls::Client>,
        tries_again: bool,
    ) -> Result<Self, FlameError> {
        let given = endpoints.urls().iter().map(|url| Ok((url.clone(), channel(url, tls.as_ref(), &options)?)));
        let places = Places::new(given.collect::<Result<Vec<_>, FlameError>>()?);
        let current = AtomicUsize::new(0);
        let (heard, knows_leader) = (Heard::default(), AtomicBool::new(false));
        let shared = Shared { endpoints, places, current, knows_leader, options, heard, tls, tries_again };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where the coordinators are.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// How long things may take.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.shared.places.len())
    }

    /// The channel that worked last, and its place for [`Connection::leave`].
    pub(crate) fn channel(&self) -> (usize, Channel) {
        let at = self.shared.current.load(Ordering::Relaxed);
        (at, self.shared.places.channel(at))
    }

    /// Goes on to the next endpoint, unless another call already has.
    pub(crate) fn leave(&self, at: usize) {
        let next = (at + 1) % self.shared.places.len();
        let _moved = self.shared.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        self.shared.knows_leader.store(false, Ordering::Relaxed);
    }

    /// Whether others than the coordinators that were given may be turned to. Who was given one only wants that one,
    /// unless it says otherwise.
    pub(crate) fn may_learn(&self) -> bool {
        self.shared.options.discovers || self.shared.endpoints.urls().len() > 1
    }

    /// Who the members are, by the word of one of them: those that are new can be turned to as well.
    pub(crate) fn hear_of(&self, members: &Members) {
        if self.may_learn() {
            let endpoints = members.members.iter().map(|member| member.client_endpoint.as_str());
            self.shared.places.hear_of(&self.urls_of(endpoints), |url| self.connect(url));
        }
    }

    /// These are coordinators of this cluster too, by the word of somebody who knows for certain: they can be turned to.
    pub fn learn<T: AsRef<str>>(&self, endpoints: &[T]) {
        let urls = self.urls_of(endpoints.iter().map(AsRef::as_ref));
        self.shared.places.learn(&urls, |url| self.connect(url));
    }

    /// What is no endpoint is left out.
    fn urls_of<'a>(&self, endpoints: impl Iterator<Item = &'a str>) -> Vec<String> {
        endpoints.filter_map(|endpoint| Some(self.shared.endpoints.single(endpoint).ok()?.urls()[0].clone())).collect()
    }

    fn connect(&self, url: &str) -> Option<Channel> {
        channel(url, self.shared.tls.as_ref(), &self.shared.options).ok()
    }

    /// Where a coordinator is among those that can be turned to.
    pub(crate) fn place_of(&self, url: &str) -> Option<usize> {
        self.shared.places.position(url)
    }

    /// Whether the leader was found, and no coordinator was left since.
    pub(crate) fn knows_leader(&self) -> bool {
        self.shared.knows_leader.load(Ordering::Relaxed)
    }

    /// The leader was found while the coordinator was `at`; its place, if it is among the endpoints.
    pub(crate) fn found_leader(&self, at: usize, leader: Option<usize>) {
        self.shared.knows_leader.store(true, Ordering::Relaxed);
        if let Some(leader) = leader {
            // Unless another call has gone on meanwhile.
            let _turned = self.shared.current.compare_exchange(at, leader, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Tries a call until it is answered, or must not be tried again, or the deadline is reached.
    pub(crate) async fn call<T, F, A>(&self, kind: Kind, attempt: A) -> Result<T, FlameError>
    where
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = sleep(self.shared.options.deadline);
        tokio::pin!(deadline);
        let answer = self.try_until(kind, attempt, deadline.as_mut()).await;
        answer.map(Response::into_inner).map_err(Failed::error)
    }

    /// The same for a change: all attempts carry the mark that they are given, and together they do it once.
    pub(crate) async fn change<T, F, A>(&self, attempt: A) -> Result<T, FlameError>
    where
        A: Fn(Channel, Mark) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = sleep(self.shared.options.deadline);
        tokio::pin!(deadline);
        let answer = self.change_until(attempt, deadline.as_mut()).await;
        answer.map(Response::into_inner).map_err(Failed::error)
    }

    /// The same with the answer of the coordinator as it came.
    pub(crate) async fn change_until<T, F, A>(
        &self,
        attempt: A,
        mut deadline: Pin<&mut Sleep>,
    ) -> Result<Response<T>, Failed>
    where
        A: Fn(Channel, Mark) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut seen = match self.shared.heard.number(Instant::now()) {
            Some(seen) => Some(seen),
            None => self.ask_number(deadline.as_mut()).await?,
        };
        let mut left = RENEWED_MAX;
        loop {
            let mark = Mark::draw(seen);
            let kind = if mark.is_known() { Kind::Idempotent } else { Kind::Once };
            let failed = match self.try_until(kind, |channel| attempt(channel, mark), deadline.as_mut()).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            // No other attempt may have done it: it begins anew, as another change.
            match failed.number.filter(|_| left > 0) {
                Some(number) => {
                    self.shared.heard.note(number, Instant::now());
                    seen = Some(number);
                    left -= 1;
                }
                None => return Err(failed),
            }
        }
    }

    /// The number to name in the next changes. None: the server knows no request ids.
    async fn ask_number(&self, deadline: Pin<&mut Sleep>) -> Result<Option<u64>, Failed> {
        let ask = |channel| async move { cluster(channel).members(ha::MembersRequest {}).await };
        match self.try_until(Kind::Read, ask, deadline).await.map(Response::into_inner) {
            Ok(ha::MembersReply { next_request: 0, .. }) => Ok(None),
            Ok(ha::MembersReply { next_request, .. }) => {
                self.shared.heard.note(next_request, Instant::now());
                Ok(Some(next_request))
            }
            // A published server.
            Err(Failed { why: Why::Refused(status), .. }) if status.code() == Code::Unimplemented => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// The same as [`Connection::call`] with the answer of the coordinator as it came.
    pub(crate) async fn try_until<T, F, A>(
        &self,
        kind: Kind,
        attempt: A,
        mut deadline: Pin<&mut Sleep>,
    ) -> Result<Response<T>, Failed>
    where
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut after_lost = false;
        let (mut backoff, mut misfits) = (self.backoff(), Misfits::default());
        loop {
            let (at, channel) = self.channel();
            let fate = match self.attempt(attempt(channel), deadline.as_mut()).await {
                Ok(value) => return Ok(value),
                Err(fate) => fate,
            };
            let trouble = match fate {
                Fate::Answered(status) => {
                    let number = too_old(&status).filter(|_| !after_lost);
                    return Err(Failed { why: Why::Refused(status), number });
                }
                Fate::Lost(why) => {
                    after_lost = kind != Kind::Read;
                    Trouble::with(why)
                }
                Fate::NotDone(trouble) => trouble,
            };
            tracing::debug!(endpoint = %self.shared.places.url(at), why = trouble.why, "attempt failed");
            // At the deadline, in the middle of an attempt: nothing was learnt of this coordinator.
            let was_cut_off = trouble.misfit.is_none() && deadline.is_elapsed();
            let weighed = match was_cut_off {
                true => Ok(misfits.beside(trouble, &self.shared.places.urls())),
                false => self.weigh(&mut misfits, at, trouble),
            };
            let trouble = match weighed {
                Ok(trouble) => trouble,
                Err(error) if after_lost => return Err(Failed::because(unknown(&error.to_string()))),
                Err(error) => return Err(Failed::because(error)),
            };
            if after_lost && kind == Kind::Once {
                return Err(Failed::because(unknown(&trouble.why)));
            }
            if !self.shared.tries_again {
                return Err(Failed::because(self.gave_up(&trouble)));
            }
            self.leave(at);
            let wait = sleep(backoff.wait_after(&trouble));
            tokio::select! {
                () = wait => {}
                () = deadline.as_mut() => {}
            }
            if deadline.is_elapsed() {
                let error = if after_lost { unknown(&trouble.why) } else { self.gave_up(&trouble) };
                return Err(Failed::because(error));
            }
        }
    }

    async fn attempt<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
        deadline: Pin<&mut Sleep>,
    ) -> Result<Response<T>, Fate> {
        let limit = self.shared.options.attempt_timeout;
        tokio::select! {
            answer = timeout(limit, call) => match answer {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(status)) => Err(Fate::of(status)),
                Err(_) => Err(Fate::Lost(format!("no answer within {} s", limit.as_secs_f64()))),
            },
            () = deadline => Err(Fate::Lost("no answer in time".to_owned())),
        }
    }

    /// What an attempt has met, or the error that no further one could fare better: no certificates fit.
    pub(crate) fn weigh(&self, misfits: &mut Misfits, at: usize, trouble: Trouble) -> Result<Trouble, FlameError> {
        misfits.weigh(at, trouble, &self.shared.places.urls())
    }

    /// The error after the last attempt, none of which did anything.
    pub(crate) fn gave_up(&self, Trouble { why, is_busy, .. }: &Trouble) -> FlameError {
        let endpoints = self.shared.endpoints.urls().join(", ");
        match is_busy {
            true => FlameError::Overloaded(format!("the coordinators at {endpoints} have too much to do: {why}")),
            false => FlameError::Unavailable(format!("no coordinator answered at {endpoints}: {why}")),
        }
    }
}

fn unknown(why: &str) -> FlameError {
    FlameError::UnknownOutcome(format!("the answer was lost ({why}); the change may have been done or not"))
}

/// The calls of published clients, over `channel`.
pub(crate) fn frontend(channel: Channel) -> FrontendClient<Channel> {
    FrontendClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// The calls about the cluster, over `channel`.
pub(crate) fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn channel(url: &str, tls: Option<&flame_tls::Client>, options: &Options) -> Result<Channel, FlameError> {
    let wrong = |error: &dyn std::fmt::Display| FlameError::InvalidArgument(format!("endpoint {url}: {error}"));
    let tls = tls.filter(|_| tls::is_secure(url));
    let endpoint = Endpoint::from_shared(url.replacen("https://", "http://", 1))
        .map_err(|error| wrong(&error))?
        .user_agent(concat!("flame-sdk/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| wrong(&error))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if tls::is_secure(url) && tls.is_none() {
        return Err(wrong(&"this client was made for http endpoints and has no certificates to check this one by"));
    }
    Ok(flame_tls::client::channel(endpoint, tls))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    /// How often a call is tried whose first answer is lost, and how it ends.
    async fn after_a_lost_answer(connection: &Connection, kind: Kind) -> (u32, Result<(), FlameError>) {
        let tries = Cell::new(0);
        let call = connection.call(kind, |_| {
            tries.set(tries.get() + 1);
            ready(if tries.get() == 1 { Err(Status::deadline_exceeded("late")) } else { Ok(Response::new(())) })
        });
        let result = call.await;
        (tries.get(), result)
    }

    #[tokio::test]
    async fn what_an_overloaded_node_has_not_done_is_sent_again_whatever_it_is() {
        let endpoints = Endpoints::parse(&["127.0.0.1:1".to_owned()]).unwrap();
        let connection = Connection::open(endpoints, Options::default()).unwrap();
        for kind in [Kind::Read, Kind::Idempotent, Kind::Once] {
            let tries = Cell::new(0);
            let details = || ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
            let busy = || Status::with_error_details(Code::ResourceExhausted, "busy", details());
            let call = connection.call(kind, |_| {
                tries.set(tries.get() + 1);
                ready(if tries.get() < 3 { Err(busy()) } else { Ok(Response::new(())) })
            });
            assert_eq!((call.await, tries.get()), (Ok(()), 3), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn only_what_may_be_done_twice_is_sent_again_after_a_lost_answer() {
        let endpoints = Endpoints::parse(&["127.0.0.1:1".to_owned()]).unwrap();
        let connection = Connection::open(endpoints, Options::default()).unwrap();
        for kind in [Kind::Read, Kind::Idempotent] {
            assert_eq!(after_a_lost_answer(&connection, kind).await, (2, Ok(())), "{kind:?}");
        }
        let (tries, result) = after_a_lost_answer(&connection, Kind::Once).await;
        assert!(tries == 1 && matches!(result, Err(FlameError::UnknownOutcome(_))), "{result:?}");
    }
}
