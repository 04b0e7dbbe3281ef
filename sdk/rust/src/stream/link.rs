//! The stream to one coordinator, and how it ends.

use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_types::Seq;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::fate::{Fate, Trouble};
use crate::{Connection, FlameError};

/// What this client speaks.
const FEATURE_LEVEL: u32 = 1;

/// Most numbered frames under way. Few: what comes meanwhile gathers and travels together.
pub(super) const FRAMES_UNDER_WAY_MAX: usize = 4;

/// Frames up that wait for the connection: all that may be under way, the first one and the watch.
const FRAMES_WAITING_MAX: usize = FRAMES_UNDER_WAY_MAX + 2;

/// An open stream to one coordinator.
pub(super) struct Link {
    /// The place of the coordinator, for [`Connection::leave`].
    pub(super) at: usize,
    pub(super) down: Streaming<ha::SessionDown>,
    pub(super) since: Instant,
    /// None once this side has nothing more to say.
    up: Option<mpsc::Sender<ha::SessionUp>>,
    credit_bytes: u64,
    credit_frames: usize,
    bytes_under_way: u64,
    frames_under_way: usize,
    /// Results are followed once this frame and all before it are answered; none when they are followed already.
    pub(super) follow_after: Option<Seq>,
}

/// Why a link is left.
#[derive(Debug)]
pub(super) enum Leave {
    /// The stream is over and nothing is left to be done.
    Done,
    /// Try another coordinator.
    Broken { at: usize, trouble: Trouble },
    /// The client id means nothing any more.
    Expired(String),
    /// No coordinator will say otherwise.
    Refused(FlameError),
}

impl Link {
    /// Opens a stream to the coordinator that worked last.
    pub(super) async fn open(connection: &Connection, session: &str, client: u64) -> Result<(Self, ha::Opened), Leave> {
        let (at, channel) = connection.channel();
        let (up, outgoing) = mpsc::channel(FRAMES_WAITING_MAX);
        let open = ha::OpenStream { feature_level: FEATURE_LEVEL, session_id: session.to_owned(), client };
        up.try_send(ha::SessionUp { frame: Some(Up::Open(open)) }).expect("a new channel has room");
        let limit = connection.options().attempt_timeout;
        let mut sessions = SessionsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let first = timeout(limit, async {
            let mut down = sessions.stream(ReceiverStream::new(outgoing)).await?.into_inner();
            let first = down.message().await?;
            Ok((down, first))
        });
        let (down, first) = match first.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return Err(left(at, status)),
            Err(_) => return Err(silent(at, limit)),
        };
        let opened = match first {
            Some(ha::SessionDown { frame: Some(Down::Opened(opened)) }) => opened,
            Some(_) => return Err(wrong("something else before Opened")),
            None => return Err(ended(at)),
        };
        let link = Self {
            at,
            down,
            since: Instant::now(),
            up: Some(up),
            credit_bytes: opened.credit_bytes,
            credit_frames: usize::try_from(opened.credit_frames).unwrap_or(usize::MAX),
            bytes_under_way: 0,
            frames_under_way: 0,
            follow_after: Some(Seq(0)),
        };
        Ok((link, opened))
    }

    /// Whether a frame of this cost may go out now. One that is larger than the credit goes alone.
    pub(super) fn has_credit(&self, cost: u64) -> bool {
        self.frames_under_way == 0
            || (self.frames_under_way < self.credit_frames && self.bytes_under_way + cost <= self.credit_bytes)
    }

    /// Sends a numbered frame.
    pub(super) fn send_numbered(&mut self, message: ha::SessionUp, cost: u64) -> Result<(), Leave> {
        self.send(message)?;
        self.bytes_under_way += cost;
        self.frames_under_way += 1;
        Ok(())
    }

    /// A numbered frame was answered.
    pub(super) fn answered(&mut self, cost: u64) {
        self.bytes_under_way -= cost;
        self.frames_under_way -= 1;
    }

    pub(super) fn send(&self, message: ha::SessionUp) -> Result<(), Leave> {
        let Some(up) = &self.up else { return Ok(()) };
        // It has room for all frames that may be under way: an error says that the other side is gone.
        up.try_send(message).map_err(|_| ended(self.at))
    }

    /// This side has nothing more to say.
    pub(super) fn close(&mut self) {
        self.up = None;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.up.is_none()
    }
}

/// What the end of a stream means.
pub(super) fn left(at: usize, status: Status) -> Leave {
    if status.code() == Code::Aborted {
        return Leave::Expired(status.message().to_owned());
    }
    match Fate::of(status) {
        // This coordinator has failed; another may not.
        Fate::Answered(status) if matches!(status.code(), Code::Internal | Code::DataLoss) => {
            Leave::Broken { at, trouble: Trouble::with(status.message()) }
        }
        Fate::Answered(status) => Leave::Refused(FlameError::from_answer(&status)),
        Fate::NotDone(trouble) => Leave::Broken { at, trouble },
        Fate::Lost(why) => Leave::Broken { at, trouble: Trouble::with(why) },
    }
}

pub(super) fn ended(at: usize) -> Leave {
    Leave::Broken { at, trouble: Trouble::with("the stream ended") }
}

pub(super) fn silent(at: usize, limit: Duration) -> Leave {
    Leave::Broken { at, trouble: Trouble::with(format!("no answer within {} s", limit.as_secs_f64())) }
}

/// The coordinator does not keep to the protocol.
pub(super) fn wrong(what: &str) -> Leave {
    Leave::Refused(FlameError::Internal(format!("the coordinator sent {what}")))
}
