//! The commands of this node that are not answered yet, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_machine::command::{Command, Item};
use flame_machine::reply::Reply;
use flame_storage::codec;
use flame_types::{ClientId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::Room;

/// Numbers, keeps and sends the commands of one registered client.
pub(super) struct Window {
    client: Option<ClientId>,
    registering: Option<Bytes>,
    next: Seq,
    unanswered: BTreeMap<Seq, Unanswered>,
    /// Bounded by the window itself: it never holds more than the unanswered commands.
    link: Option<mpsc::UnboundedSender<Bytes>>,
}

struct Unanswered {
    bytes: Bytes,
    sent: bool,
    answer: Option<oneshot::Sender<Reply>>,
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

impl Default for Window {
    fn default() -> Self {
        Self { client: None, registering: None, next: Seq(1), unanswered: BTreeMap::new(), link: None }
    }
}

impl Window {
    pub(super) fn client(&self) -> Option<ClientId> {
        self.client
    }

    /// Begins anew under this client id.
    pub(super) fn register(&mut self, client: ClientId) {
        self.client = Some(client);
        self.next = Seq(1);
        self.registering = None;
    }

    /// The state does not know this client any more. What is unanswered may or may not have been done: its callers
    /// learn that (their senders drop), and nothing is sent again under another id.
    pub(super) fn expire(&mut self) {
        self.client = None;
        self.unanswered.clear();
    }

    /// Numbers a command and sends it, if there is a link. `None` when the registration was lost meanwhile.
    pub(super) fn admit(&mut self, command: Command, room: Room) -> Option<(Seq, oneshot::Receiver<Reply>)> {
        let client = self.client?;
        let seq = self.next;
        self.next = seq.next();
        let (tx, rx) = oneshot::channel();
        let mut entry =
            Unanswered { bytes: self.encode(client, seq, command), sent: false, answer: Some(tx), _room: room };
        if let Some(link) = &self.link {
            entry.sent = link.send(entry.bytes.clone()).is_ok();
        }
        self.unanswered.insert(seq, entry);
        Some((seq, rx))
    }

    pub(super) fn resolve(&mut self, seq: Seq, reply: &Reply) {
        if let Some(entry) = self.unanswered.remove(&seq)
            && let Some(answer) = entry.answer
        {
            // A caller that went away needs no answer.
            let _ = answer.send(reply.clone());
        }
    }

    /// The caller of this number has stopped waiting.
    pub(super) fn give_up(&mut self, seq: Seq) -> GivenUp {
        let (Some(client), Some(entry)) = (self.client, self.unanswered.get(&seq)) else {
            return GivenUp::MayHappen;
        };
        if entry.sent {
            return GivenUp::MayHappen;
        }
        let void = self.encode(client, seq, Command::Void);
        let entry = self.unanswered.get_mut(&seq).expect("looked up above, under the same lock");
        entry.bytes = void;
        entry.answer = None;
        GivenUp::NeverSent
    }

    pub(super) fn set_link(&mut self, link: Option<mpsc::UnboundedSender<Bytes>>) {
        self.link = link;
        self.resend();
    }

    pub(super) fn resend(&mut self) {
        let Some(link) = &self.link else { return };
        if let Some(registering) = &self.registering {
            // A closed link is replaced soon, and then this goes out again.
            let _ = link.send(registering.clone());
        }
        for entry in self.unanswered.values_mut() {
            if link.send(entry.bytes.clone()).is_err() {
                return;
            }
            entry.sent = true;
        }
    }

    /// Sends the registration now and on every new link, until it is answered.
    pub(super) fn set_registering(&mut self, bytes: Bytes) {
        if let Some(link) = &self.link {
            // A closed link is replaced soon, and then this goes out again.
            let _ = link.send(bytes.clone());
        }
        self.registering = Some(bytes);
    }

    fn encode(&self, client: ClientId, seq: Seq, command: Command) -> Bytes {
        let below = self.unanswered.keys().next().copied().unwrap_or(seq);
        codec::encode(&Item { client, seq, below, command })
    }
}
