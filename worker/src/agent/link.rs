//! One attach stream: how it comes about and what happens on it.

use std::pin::Pin;
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_hub_client::WorkerHubClient;
use flame_proto::ha::worker_up::Frame as Up;
use flame_tls::Verdict;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::channels::Channels;

/// Longest time from opening the stream until the coordinator says whether it takes us.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often the worker has a turn to say that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// A leader that is silent for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Longest wait for the end of a stream that we ended.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Frames on their way into the stream. Few: what waits in the outbox instead can still be put together.
const FRAMES_AHEAD: usize = 4;

/// An attach stream on which the leader has said Welcome.
pub(crate) struct Link {
    pub(crate) endpoint: String,
    up: mpsc::Sender<ha::WorkerUp>,
    down: Streaming<ha::WorkerDown>,
    heartbeat: Interval,
    silence: Pin<Box<Sleep>>,
}

/// Why an attempt led to no link.
#[derive(Debug)]
pub(crate) enum Setback {
    /// It does not lead.
    NotLeader(ha::NotLeader),
    /// It leads and does not want us.
    Refused(ha::Refused),
    /// Its certificate and ours do not fit, which trying again does not change.
    Unfit(Verdict),
    /// There was no answer that makes sense.
    Failed(String),
}

/// The connection of the worker, in each of its states.
pub(crate) enum Wire {
    /// The next attempt is not due yet.
    Waiting { endpoint: String, pause: Pin<Box<Sleep>> },
    /// An attempt is under way.
    Dialing { endpoint: String, begun: Instant, attempt: BoxFuture<'static, Result<(Link, ha::Welcome), Setback>> },
    /// Attached.
    Up(Box<Link>),
}

/// What happens on the wire.
pub(crate) enum WireEvent {
    /// An attempt is due.
    Due(String),
    /// Attached, by a Hello that was sent at this time.
    Attached(Box<Link>, Instant, ha::Welcome),
    /// Not attached.
    Setback(String, Setback),
    /// A frame came.
    Frame(Box<Down>),
    /// The link is no more.
    Broken(String),
    /// It is the turn of a heartbeat.
    HeartbeatDue,
    /// There is room for a frame.
    Sendable,
}

impl Wire {
    /// Waits before an attempt.
    pub(crate) fn waiting(endpoint: String, pause: Duration) -> Self {
        Self::Waiting { endpoint, pause: Box::pin(sleep(pause)) }
    }

    /// Makes an attempt.
    pub(crate) fn dialing(channels: Channels, endpoint: String, hello: ha::Hello) -> Self {
        let attempt = Box::pin(attach(channels, endpoint.clone(), hello));
        Self::Dialing { endpoint, begun: Instant::now(), attempt }
    }

    /// What happens next. May be dropped and called again.
    pub(crate) async fn next(&mut self, wants_to_send: bool) -> WireEvent {
        match self {
            Self::Waiting { endpoint, pause } => {
                pause.await;
                WireEvent::Due(endpoint.clone())
            }
            Self::Dialing { endpoint, begun, attempt } => match attempt.await {
                Ok((link, welcome)) => WireEvent::Attached(Box::new(link), *begun, welcome),
                Err(setback) => WireEvent::Setback(endpoint.clone(), setback),
            },
            Self::Up(link) => link.next(wants_to_send).await,
        }
    }

    /// Whether this coordinator has said Welcome or is just being asked.
    pub(crate) fn is_with(&self, coordinator: &str) -> bool {
        match self {
            Self::Waiting { .. } => false,
            Self::Dialing { endpoint, .. } => endpoint == coordinator,
            Self::Up(link) => link.endpoint == coordinator,
        }
    }

    /// Hands a frame to the stream, if there is one with room.
    pub(crate) fn has_room(&self) -> bool {
        matches!(self, Self::Up(link) if link.up.capacity() > 0 && !link.up.is_closed())
    }

    /// Hands a frame to the stream. Nobody else does, so there is room whenever [`Self::has_room`] said so; on a stream
    /// that broke meanwhile the frame is lost, which the next Hello makes good.
    pub(crate) fn send(&self, frame: Up) {
        if let Self::Up(link) = self {
            let _ = link.up.try_send(ha::WorkerUp { frame: Some(frame) });
        }
    }
}

impl Link {
    /// The leader has answered what was sent at this time.
    pub(crate) fn on_answer(&mut self, sent: Instant) {
        self.silence = Box::pin(sleep_until(sent + SILENCE_MAX));
    }

    /// Ends the stream politely: what was handed to it reaches the leader, and after that the last frame, if there is
    /// one. A leader that has understood it ends its side.
    pub(crate) async fn close(self, last: Option<Up>) {
        let Self { up, mut down, .. } = self;
        let ended = async {
            if let Some(frame) = last {
                // A stream that broke meanwhile takes no last word; then the lease tells the leader.
                let _ = up.send(ha::WorkerUp { frame: Some(frame) }).await;
            }
            drop(up);
            while let Ok(Some(_)) = down.message().await {}
        };
        // A leader that does not end its side is left without a further word.
        let _ = timeout(CLOSE_WITHIN, ended).await;
    }

    async fn next(&mut self, wants_to_send: bool) -> WireEvent {
        tokio::select! {
            message = self.down.message() => match message {
                Ok(Some(ha::WorkerDown { frame: Some(frame) })) => WireEvent::Frame(Box::new(frame)),
                Ok(Some(ha::WorkerDown { frame: None })) => {
                    WireEvent::Broken("it sent a frame that this worker does not know".into())
                }
                Ok(None) => WireEvent::Broken("it ended the stream".into()),
                Err(status) => WireEvent::Broken(format!("{:?}: {}", status.code(), status.message())),
            },
            _ = self.heartbeat.tick() => WireEvent::HeartbeatDue,
            () = &mut self.silence => WireEvent::Broken(format!("it was silent for {SILENCE_MAX:?}")),
            room = self.up.reserve(), if wants_to_send => match room {
                Ok(_) => WireEvent::Sendable,
                Err(_) => WireEvent::Broken("it reads no more".into()),
            },
        }
    }
}

async fn attach(channels: Channels, endpoint: String, hello: ha::Hello) -> Result<(Link, ha::Welcome), Setback> {
    match timeout(ANSWER_WITHIN, open(&channels, endpoint.clone(), hello)).await {
        Ok(Err(setback @ (Setback::Failed(_) | Setback::Unfit(_)))) => {
            channels.forget(&endpoint);
            Err(setback)
        }
        Ok(answer) => answer,
        Err(_) => {
            channels.forget(&endpoint);
            Err(Setback::Failed(format!("no answer within {ANSWER_WITHIN:?}")))
        }
    }
}

async fn open(channels: &Channels, endpoint: String, hello: ha::Hello) -> Result<(Link, ha::Welcome), Setback> {
    let failed = |error: tonic::Status| match Verdict::of(&error) {
        Some(verdict) => Setback::Unfit(verdict),
        None => Setback::Failed(format!("{:?}: {}", error.code(), error.message())),
    };
    let channel = channels.get(&endpoint).map_err(|error| Setback::Failed(error.to_string()))?;
    let (up, frames) = mpsc::channel(FRAMES_AHEAD);
    up.try_send(ha::WorkerUp { frame: Some(Up::Hello(hello)) }).expect("a fresh channel has room for one frame");
    let mut hub = WorkerHubClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut down = hub.attach(ReceiverStream::new(frames)).await.map_err(failed)?.into_inner();
    match down.message().await.map_err(failed)?.and_then(|message| message.frame) {
        Some(Down::Welcome(welcome)) => {
            let mut heartbeat = interval(HEARTBEAT_EVERY);
            heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let silence = Box::pin(sleep(SILENCE_MAX));
            Ok((Link { endpoint, up, down, heartbeat, silence }, welcome))
        }
        Some(Down::NotLeader(not_leader)) => Err(Setback::NotLeader(not_leader)),
        Some(Down::Refused(refused)) => Err(Setback::Refused(refused)),
        Some(_) => Err(Setback::Failed("it answered Hello with something else than Welcome".into())),
        None => Err(Setback::Failed("it ended the stream without an answer".into())),
    }
}
