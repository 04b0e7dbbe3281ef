//! An open stream: commands in, answers and results out.

use std::collections::BTreeMap;

use flame_machine::reply::Reply;
use flame_proto::ha;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_types::{ClientId, Generation, LogIndex, Seq, SessionId, SessionKey, TaskNo};
use tonic::{Status, Streaming};

use super::command::{self, Numbered};
use super::following::Following;
use super::frames::{Position, position};
use super::ranges::Ranges;
use crate::api::call::Call;
use crate::api::errors::refused;
use crate::api::frontend::{session_deleted, stopping};
use crate::api::outbox::{Gone, Outbox};
use crate::drive::gateway::{ClientStream, Gateway, TakenOver};
use crate::drive::results::ResultsChange;

/// Inputs of a client that may be under way, in bytes. One frame may be larger, if it is alone.
pub(super) const CREDIT_BYTES: usize = 8 << 20;

/// Numbered frames of a client that may be under way. Far fewer than the replicated window holds.
pub(super) const CREDIT_FRAMES: usize = 256;

/// Most ranges that a client may name to be followed.
const RANGES_MAX: usize = 65_536;

/// Whose stream it is.
pub(super) struct Whose {
    pub(super) call: Call,
    pub(super) id: SessionId,
    pub(super) key: SessionKey,
    pub(super) client: ClientId,
    pub(super) generation: Generation,
}

/// A stream that is open.
pub(super) struct Session<'a> {
    gateway: Gateway,
    whose: Whose,
    commands: ClientStream,
    down: &'a Outbox<ha::SessionDown>,
    following: Option<Following>,
    /// Tasks that were submitted here before anything was followed.
    own: Ranges,
    /// The number of the client's last frame.
    last: Option<Seq>,
    /// What each unanswered frame counts.
    unanswered: BTreeMap<Seq, usize>,
    bytes: usize,
}

/// Why a stream ends before its client wants it to.
pub(super) enum End {
    /// The client has gone away.
    Gone,
    /// The client is told why.
    Error(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Error(status)
    }
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<TakenOver> for End {
    fn from(_: TakenOver) -> Self {
        Self::Error(Status::aborted("the client of this stream has expired, or goes on with another stream"))
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        gateway: Gateway,
        whose: Whose,
        commands: ClientStream,
        down: &'a Outbox<ha::SessionDown>,
    ) -> Self {
        let (own, unanswered) = (Ranges::default(), BTreeMap::new());
        Self { gateway, whose, commands, down, following: None, own, last: None, unanswered, bytes: 0 }
    }

    /// Serves the stream until its client closes its half and everything it sent is answered.
    pub(super) async fn run(mut self, mut up: Streaming<ha::SessionUp>) -> Result<(), End> {
        let mut more = true;
        let mut replies = Vec::new();
        while more || !self.unanswered.is_empty() {
            tokio::select! {
                // While older results are read, nothing may be under way whose tasks are not known here yet.
                frame = up.message(), if more && !self.is_behind() => match frame {
                    Ok(Some(frame)) => self.on_frame(frame).await?,
                    Ok(None) => more = false,
                    // It broke: its client goes on elsewhere.
                    Err(_) => return Err(End::Gone),
                },
                alive = self.commands.replies(&mut replies, CREDIT_FRAMES) => {
                    alive?;
                    self.on_replies(&mut replies).await?;
                }
                change = changed(&mut self.following), if self.unanswered.is_empty() || !self.is_behind() => {
                    // What was accepted comes before its results: the answers of an entry are handed out first.
                    self.commands.ready_replies(&mut replies);
                    self.on_replies(&mut replies).await?;
                    self.on_results(change).await?;
                }
                () = self.down.gone() => return Err(End::Gone),
            }
        }
        self.gateway.end_client(self.whose.client, self.whose.call.again().deadline).await.map_err(Status::from)?;
        Ok(())
    }

    /// Whether older results come from this node's rows.
    fn is_behind(&self) -> bool {
        self.following.as_ref().is_some_and(Following::is_behind)
    }

    async fn on_frame(&mut self, frame: ha::SessionUp) -> Result<(), End> {
        match frame.frame {
            Some(Up::Submit(frame)) => self.send(command::submit(self.whose.id.clone(), frame)?).await,
            Some(Up::Cancel(frame)) => self.send(command::cancel(self.whose.id.clone(), &frame)).await,
            Some(Up::Watch(frame)) => self.follow(frame).await,
            Some(Up::Open(_)) => Err(invalid("the stream is open already")),
            None => Err(invalid("a frame of a kind that this node does not know")),
        }
    }

    async fn send(&mut self, numbered: Numbered) -> Result<(), End> {
        let Numbered { seq, below, bytes, command } = numbered;
        if seq < Seq(1) || self.last.is_some_and(|last| seq != last.next()) {
            return Err(invalid("frames are numbered one by one, from 1"));
        }
        let alone = self.unanswered.is_empty();
        if !alone && (self.bytes + bytes > CREDIT_BYTES || self.unanswered.len() >= CREDIT_FRAMES) {
            return Err(End::Error(Status::resource_exhausted(format!(
                "more is under way than the credit of {CREDIT_BYTES} bytes and {CREDIT_FRAMES} frames"
            ))));
        }
        self.last = Some(seq);
        let place = self.commands.room(bytes).await.map_err(Status::from)?;
        self.commands.send(seq, below, command, place)?;
        self.bytes += bytes;
        self.unanswered.insert(seq, bytes);
        Ok(())
    }

    async fn follow(&mut self, frame: ha::WatchFrom) -> Result<(), End> {
        if self.following.is_some() {
            return Err(invalid("the results of this session are followed already"));
        }
        if frame.tasks.len() > RANGES_MAX {
            return Err(invalid(&format!("at most {RANGES_MAX} ranges of tasks can be named")));
        }
        let beginning = (Generation(0), LogIndex(0));
        let from = frame.from.map_or(beginning, |from| (Generation(from.generation), LogIndex(from.log_index)));
        let now = (self.whose.generation, *self.gateway.applied_index().borrow());
        let from = if from == beginning || from.0 == now.0 { from } else { self.resync(now).await? };
        let only = frame.own.then(|| {
            let mut ranges = self.own.clone();
            frame.tasks.iter().for_each(|range| ranges.add(TaskNo(range.first), TaskNo(range.last)));
            ranges
        });
        self.following = Some(Following::new(&self.gateway, self.whose.key, from, only));
        Ok(())
    }

    /// The position belongs to another life of the state.
    async fn resync(&mut self, now: Position) -> Result<Position, End> {
        self.tell(Down::Resync(ha::Resync { now: Some(position(now)) })).await?;
        Ok(now)
    }

    async fn on_replies(&mut self, replies: &mut Vec<(Seq, Reply)>) -> Result<(), End> {
        for (seq, reply) in replies.drain(..) {
            let bytes = self.unanswered.remove(&seq).unwrap_or(0);
            self.bytes -= bytes;
            let mut accepted = ha::Accepted { seq: seq.0, credit_bytes: bytes as u64, ..ha::Accepted::default() };
            match reply {
                Reply::Submitted { first, count, .. } => {
                    accepted.first_task = first.0;
                    accepted.count = count;
                    let last = TaskNo(first.0 + count - 1);
                    match &mut self.following {
                        Some(following) => following.add_own(first, last),
                        None => self.own.add(first, last),
                    }
                }
                Reply::Refused(refusal) => {
                    let status = refused(&refusal);
                    let message = status.message().to_owned();
                    accepted.error = Some(ha::StreamError { code: status.code() as i32, message });
                }
                _ => {}
            }
            self.tell(Down::Accepted(accepted)).await?;
        }
        Ok(())
    }

    async fn on_results(&mut self, change: ResultsChange) -> Result<(), End> {
        match change {
            ResultsChange::Gone => return Err(End::Error(session_deleted(self.whose.id.as_str()))),
            ResultsChange::Stopped => return Err(End::Error(stopping())),
            ResultsChange::Entries(_) | ResultsChange::Lost => {}
        }
        let Some(following) = &mut self.following else { return Ok(()) };
        for frame in following.frames(change).await? {
            self.tell(frame).await?;
        }
        Ok(())
    }

    async fn tell(&self, frame: Down) -> Result<(), End> {
        Ok(self.down.send(ha::SessionDown { frame: Some(frame) }).await?)
    }
}

async fn changed(following: &mut Option<Following>) -> ResultsChange {
    match following {
        Some(following) => following.changed().await,
        None => std::future::pending().await,
    }
}

fn invalid(why: &str) -> End {
    End::Error(Status::invalid_argument(why))
}
