//! The commands of one client that are not answered yet, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_machine::command::{Command, Item};
use flame_machine::reply::Reply;
use flame_storage::codec;
use flame_types::{ClientId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::Room;

/// Where encoded commands go. Bounded by the windows themselves: it never holds more than is unanswered.
pub(super) type Link = mpsc::UnboundedSender<Bytes>;

/// Where a reply goes.
pub(super) enum Answer {
    /// Nobody waits for it.
    Nobody,
    /// One caller.
    Call(oneshot::Sender<Reply>),
    /// A stream that has many under way.
    Stream(mpsc::UnboundedSender<(Seq, Reply)>),
}

/// Keeps and sends the commands of one client.
pub(super) struct Window {
    client: ClientId,
    unanswered: BTreeMap<Seq, Unanswered>,
}

struct Unanswered {
    bytes: Bytes,
    sent: bool,
    answer: Answer,
    _room: Room,
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
    pub(super) fn new(client: ClientId) -> Self {
        Self { client, unanswered: BTreeMap::new() }
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    /// The lowest number whose reply is needed.
    pub(super) fn lowest(&self) -> Option<Seq> {
        self.unanswered.keys().next().copied()
    }

    /// Keeps a command, and sends it if there is a link.
    pub(super) fn push(&mut self, seq: Seq, below: Seq, command: Command, to: (Answer, Room), link: Option<&Link>) {
        let (answer, room) = to;
        let bytes = self.encode(seq, below, command);
        let sent = link.is_some_and(|link| link.send(bytes.clone()).is_ok());
        self.unanswered.insert(seq, Unanswered { bytes, sent, answer, _room: room });
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

    /// Sends everything unanswered, in order.
    pub(super) fn resend(&mut self, link: &Link) {
        for entry in self.unanswered.values_mut() {
            if link.send(entry.bytes.clone()).is_err() {
                return;
            }
            entry.sent = true;
        }
    }

    fn encode(&self, seq: Seq, below: Seq, command: Command) -> Bytes {
        codec::encode(&Item { client: self.client, seq, below, command })
    }
}
