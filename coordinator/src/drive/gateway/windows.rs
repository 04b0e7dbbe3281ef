//! The windows of all clients that this node serves: its own, through which unary calls go, and those of streams.

use std::collections::HashMap;

use bytes::Bytes;
use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_types::{ClientId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::Room;
use super::window::{Answer, GivenUp, Link, Window};

/// All windows, and the link they share.
#[derive(Default)]
pub(super) struct Windows {
    own: Option<Own>,
    registering: Option<Bytes>,
    streams: HashMap<ClientId, StreamWindow>,
    opened: u64,
    link: Option<Link>,
}

/// The node numbers its own commands.
struct Own {
    window: Window,
    next: Seq,
}

/// A stream's client numbers its commands itself.
struct StreamWindow {
    window: Window,
    /// Which stream of this client serves it: a later one takes over.
    ticket: u64,
    replies: mpsc::UnboundedSender<(Seq, Reply)>,
}

/// What the replies of an entry ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// Commands arrived out of their order: send them again.
    pub resend: bool,
    /// The registration of this node is gone.
    pub own_expired: bool,
}

impl Windows {
    /// Begins anew under this client id.
    pub(super) fn register(&mut self, client: ClientId) {
        self.own = Some(Own { window: Window::new(client), next: Seq(1) });
        self.registering = None;
    }

    /// Sends the registration now and on every new link, until it is answered.
    pub(super) fn set_registering(&mut self, bytes: Bytes) {
        if let Some(link) = &self.link {
            // A closed link is replaced soon, and then this goes out again.
            let _ = link.send(bytes.clone());
        }
        self.registering = Some(bytes);
    }

    /// Numbers a command of this node and sends it, if there is a link. `None` when the registration was lost.
    pub(super) fn admit(&mut self, command: Command, room: Room) -> Option<(Seq, oneshot::Receiver<Reply>)> {
        let own = self.own.as_mut()?;
        let seq = own.next;
        own.next = seq.next();
        let below = own.window.lowest().unwrap_or(seq);
        let (caller, reply) = oneshot::channel();
        own.window.push(seq, below, command, (Answer::Call(caller), room), self.link.as_ref());
        Some((seq, reply))
    }

    /// The caller of this number has stopped waiting.
    pub(super) fn give_up(&mut self, seq: Seq) -> GivenUp {
        self.own.as_mut().map_or(GivenUp::MayHappen, |own| own.window.give_up(seq))
    }

    /// A stream serves this client from now on. One that did before ends.
    pub(super) fn open_stream(&mut self, client: ClientId) -> (u64, mpsc::UnboundedReceiver<(Seq, Reply)>) {
        let (replies, receiver) = mpsc::unbounded_channel();
        self.opened += 1;
        let ticket = self.opened;
        self.streams.insert(client, StreamWindow { window: Window::new(client), ticket, replies });
        (ticket, receiver)
    }

    /// The stream has ended. What it sent is settled all the same; what it did not send, its client sends again.
    pub(super) fn close_stream(&mut self, client: ClientId, ticket: u64) {
        if self.streams.get(&client).is_some_and(|stream| stream.ticket == ticket) {
            self.streams.remove(&client);
        }
    }

    /// Clients whose streams this node serves.
    pub(super) fn stream_clients(&self) -> Vec<ClientId> {
        self.streams.keys().copied().collect()
    }

    /// Sends a command that its client has numbered. `false` when another stream serves the client, or it has expired.
    pub(super) fn admit_numbered(
        &mut self,
        (client, ticket): (ClientId, u64),
        (seq, below): (Seq, Seq),
        command: Command,
        room: Room,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&client).filter(|stream| stream.ticket == ticket) else { return false };
        let answer = Answer::Stream(stream.replies.clone());
        stream.window.push(seq, below, command, (answer, room), self.link.as_ref());
        true
    }

    /// Hands out the replies of one entry.
    pub(super) fn on_replies(&mut self, replies: &[(ClientId, Seq, Reply)]) -> Consequences {
        let mut consequences = Consequences::default();
        for (client, seq, reply) in replies {
            let is_own = self.own.as_ref().is_some_and(|own| own.window.client() == *client);
            let window = match &mut self.own {
                Some(own) if is_own => &mut own.window,
                _ => match self.streams.get_mut(client) {
                    Some(stream) => &mut stream.window,
                    None => continue,
                },
            };
            match reply {
                Reply::Refused(Refusal::OutOfOrder { .. }) => consequences.resend = true,
                // What is unanswered may or may not have been done: whoever waits learns that (their senders drop),
                // and nothing is sent again under another id.
                Reply::Refused(Refusal::SessionExpired(_)) if is_own => {
                    self.own = None;
                    consequences.own_expired = true;
                }
                Reply::Refused(Refusal::SessionExpired(_)) => drop(self.streams.remove(client)),
                reply => window.resolve(*seq, reply),
            }
        }
        consequences
    }

    /// Commands go out here from now on, all unanswered ones first. `None`: nobody leads.
    pub(super) fn set_link(&mut self, link: Option<Link>) {
        self.link = link;
        self.resend();
    }

    /// Sends everything unanswered again.
    pub(super) fn resend(&mut self) {
        let Some(link) = &self.link else { return };
        if let Some(registering) = &self.registering {
            // A closed link is replaced soon, and then this goes out again.
            let _ = link.send(registering.clone());
        }
        let own = self.own.iter_mut().map(|own| &mut own.window);
        let streams = self.streams.values_mut().map(|stream| &mut stream.window);
        own.chain(streams).for_each(|window| window.resend(link));
    }
}

#[cfg(test)]
mod tests {
    use flame_machine::command::Item;
    use flame_storage::codec;

    use super::*;

    const CLIENT: ClientId = ClientId(9);

    fn windows() -> (Windows, mpsc::UnboundedReceiver<Bytes>) {
        let mut windows = Windows::default();
        let (link, sent) = mpsc::unbounded_channel();
        windows.set_link(Some(link));
        (windows, sent)
    }

    fn sent(link: &mut mpsc::UnboundedReceiver<Bytes>) -> Vec<u64> {
        let items = std::iter::from_fn(|| link.try_recv().ok());
        items.map(|bytes| codec::decode::<Item>(bytes).unwrap().seq.0).collect()
    }

    fn submit(windows: &mut Windows, ticket: u64, seq: u64) -> bool {
        windows.admit_numbered((CLIENT, ticket), (Seq(seq), Seq(1)), Command::Void, Room::default())
    }

    fn out_of_order() -> Reply {
        Reply::Refused(Refusal::OutOfOrder { expected: Seq(1) })
    }

    #[test]
    fn replies_find_their_stream_and_nobody_elses() {
        let (mut windows, _link) = windows();
        windows.register(ClientId(1));
        let (ticket, mut replies) = windows.open_stream(CLIENT);
        assert!(submit(&mut windows, ticket, 1));
        let consequences = windows.on_replies(&[(ClientId(1), Seq(1), Reply::Done), (CLIENT, Seq(1), Reply::Done)]);
        assert_eq!(consequences, Consequences::default());
        assert_eq!(replies.try_recv().unwrap(), (Seq(1), Reply::Done));
        assert!(replies.try_recv().is_err());
    }

    #[test]
    fn what_is_unanswered_goes_out_again_in_order_on_every_link() {
        let (mut windows, mut first) = windows();
        let (ticket, _replies) = windows.open_stream(CLIENT);
        assert!((1..=3).all(|seq| submit(&mut windows, ticket, seq)));
        assert_eq!(sent(&mut first), [1, 2, 3]);
        assert!(windows.on_replies(&[(CLIENT, Seq(2), out_of_order())]).resend);
        windows.on_replies(&[(CLIENT, Seq(1), Reply::Done)]);
        let (link, mut second) = mpsc::unbounded_channel();
        windows.set_link(Some(link));
        assert_eq!(sent(&mut second), [2, 3]);
    }

    #[test]
    fn a_later_stream_of_a_client_takes_over() {
        let (mut windows, _link) = windows();
        let (old, mut replies) = windows.open_stream(CLIENT);
        assert!(submit(&mut windows, old, 1));
        let (new, _replies) = windows.open_stream(CLIENT);
        assert!(!submit(&mut windows, old, 2));
        assert!(matches!(replies.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        windows.close_stream(CLIENT, old);
        assert!(submit(&mut windows, new, 1), "the end of the old stream does not end the new one");
    }

    #[test]
    fn a_client_that_has_expired_ends_its_stream_alone() {
        let (mut windows, _link) = windows();
        windows.register(ClientId(1));
        let (ticket, mut replies) = windows.open_stream(CLIENT);
        assert!(submit(&mut windows, ticket, 1));
        let gone = Reply::Refused(Refusal::SessionExpired(CLIENT));
        assert!(!windows.on_replies(&[(CLIENT, Seq(1), gone)]).own_expired);
        assert!(matches!(replies.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(windows.admit(Command::Void, Room::default()).is_some());
    }
}
