//! The commands of one client that are not answered yet, in order, and how far they have been sent.
//!
//! Nothing is queued beside them: whoever sends takes the next ones from here, and sending again means to begin anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_machine::command::{Command, Item};
use flame_machine::reply::Reply;
use flame_types::{ClientId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::Place;
use crate::consensus::RunningLevel;

/// What one frame to the leader may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drive) struct FrameRoom {
    /// Commands.
    pub(in crate::drive) commands: usize,
    /// Bytes of them; one command may have more, alone.
    pub(in crate::drive) bytes: usize,
}

impl FrameRoom {
    /// Takes room for a command, if there is enough.
    fn take(&mut self, bytes: usize, is_first: bool) -> bool {
        let fits = self.commands > 0 && (bytes <= self.bytes || is_first);
        if fits {
            self.commands -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        fits
    }
}

/// Where a reply goes.
pub(super) enum Answer {
    /// Nobody waits for it.
    Nobody,
    /// One caller.
    Call(oneshot::Sender<Reply>),
    /// A stream that has many under way. Never more wait in it than its credit has frames.
    Stream(mpsc::UnboundedSender<(Seq, Reply)>),
}

/// Keeps and sends the commands of one client.
pub(super) struct Window {
    client: ClientId,
    level: RunningLevel,
    unanswered: BTreeMap<Seq, Unanswered>,
    /// Commands from this number on have not been sent on the present link.
    unsent_from: Seq,
}

struct Unanswered {
    bytes: Bytes,
    /// Whether it ever left this node.
    sent: bool,
    answer: Answer,
    _place: Place,
}

/// What became of a command whose caller stopped waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It never left this node: certain.
    NeverSent,
    /// It left, and goes on being sent until it is settled.
    MayHappen,
}

impl Window {
    pub(super) fn new(client: ClientId, level: RunningLevel) -> Self {
        Self { client, level, unanswered: BTreeMap::new(), unsent_from: Seq(0) }
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// The lowest number whose reply is needed.
    pub(super) fn lowest(&self) -> Option<Seq> {
        self.unanswered.keys().next().copied()
    }

    /// Keeps a command until it is answered.
    pub(super) fn push(&mut self, seq: Seq, below: Seq, command: Command, answer: Answer, place: Place) {
        let bytes = self.encode(seq, below, command);
        self.unanswered.insert(seq, Unanswered { bytes, sent: false, answer, _place: place });
    }

    pub(super) fn resolve(&mut self, seq: Seq, reply: &Reply) {
        let Some(entry) = self.unanswered.remove(&seq) else { return };
        // A caller that went away needs no answer.
        match entry.answer {
            Answer::Nobody => {}
            Answer::Call(caller) => drop(caller.send(reply.clone())),
            Answer::Stream(stream) => drop(stream.send((seq, reply.clone()))),
        }
    }

    /// The caller of this number has stopped waiting. One that was never sent makes room for `Void`.
    pub(super) fn give_up(&mut self, seq: Seq) -> GivenUp {
        let lowest = self.lowest().unwrap_or(seq);
        let void = self.encode(seq, lowest, Command::Void);
        match self.unanswered.get_mut(&seq) {
            Some(entry) if !entry.sent => {
                entry.bytes = void;
                entry.answer = Answer::Nobody;
                GivenUp::NeverSent
            }
            _ => GivenUp::MayHappen,
        }
    }

    /// Everything unanswered goes out again, in order. Returns whether that is anything.
    pub(super) fn rewind(&mut self) -> bool {
        self.unsent_from = Seq(0);
        !self.unanswered.is_empty()
    }

    /// Takes what is to be sent next, as far as there is room. Returns whether that was all.
    pub(super) fn take(&mut self, into: &mut Vec<Bytes>, room: &mut FrameRoom) -> bool {
        for (seq, entry) in self.unanswered.range_mut(self.unsent_from..) {
            if !room.take(entry.bytes.len(), into.is_empty()) {
                return false;
            }
            into.push(entry.bytes.clone());
            entry.sent = true;
            self.unsent_from = seq.next();
        }
        true
    }

    fn encode(&self, seq: Seq, below: Seq, command: Command) -> Bytes {
        self.level.seal(&Item { client: self.client, seq, below, command })
    }
}
