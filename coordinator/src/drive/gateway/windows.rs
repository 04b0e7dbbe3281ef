//! The windows of all clients that this node serves: its own, through which unary calls go, and those of streams.
//!
//! The link takes from here what is to be sent next, client by client in turn, so that one with much to send does not
//! hold the others up.
//!
//! **Invariant:** nothing is queued between the windows and the link: however often everything is sent again, memory
//! holds what is unanswered and no more.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_types::{ClientId, Seq};
use tokio::sync::{mpsc, oneshot};

use super::Place;
use super::window::{Answer, FrameRoom, GivenUp, Window};
use crate::consensus::RunningLevel;

/// All windows, and the link they share.
#[derive(Default)]
pub(super) struct Windows {
    level: RunningLevel,
    own: Option<Own>,
    registering: Option<Registering>,
    streams: HashMap<ClientId, StreamWindow>,
    opened: u64,
    /// Whether anything can be sent.
    linked: bool,
    /// Clients with something to send, each once. Empty without a link.
    sending: Sending,
}

/// The command that gives this node a client id.
struct Registering {
    bytes: Bytes,
    /// Whether it was sent on the present link.
    sent: bool,
}

/// Whose turn it is.
#[derive(Default)]
struct Sending {
    order: VecDeque<ClientId>,
    members: HashSet<ClientId>,
}

impl Sending {
    fn add(&mut self, client: ClientId) {
        if self.members.insert(client) {
            self.order.push_back(client);
        }
    }

    fn next(&mut self) -> Option<ClientId> {
        let client = self.order.pop_front()?;
        self.members.remove(&client);
        Some(client)
    }

    fn clear(&mut self) {
        self.order.clear();
        self.members.clear();
    }
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
    pub(super) fn new(level: RunningLevel) -> Self {
        Self { level, ..Self::default() }
    }

    /// Begins anew under this client id.
    pub(super) fn register(&mut self, client: ClientId) {
        self.own = Some(Own { window: Window::new(client, self.level.clone()), next: Seq(1) });
        self.registering = None;
    }

    /// The registration goes out now and on every new link, until it is answered.
    pub(super) fn set_registering(&mut self, bytes: Bytes) {
        self.registering = Some(Registering { bytes, sent: false });
    }

    /// Numbers a command of this node, to be sent. `None` when the registration was lost.
    pub(super) fn admit(&mut self, command: Command, place: Place) -> Option<(Seq, oneshot::Receiver<Reply>)> {
        let own = self.own.as_mut()?;
        let seq = own.next;
        own.next = seq.next();
        let below = own.window.lowest().unwrap_or(seq);
        let (caller, reply) = oneshot::channel();
        own.window.push(seq, below, command, Answer::Call(caller), place);
        if self.linked {
            self.sending.add(own.window.client());
        }
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
        let window = Window::new(client, self.level.clone());
        self.streams.insert(client, StreamWindow { window, ticket, replies });
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

    /// Takes in a command that its client has numbered, to be sent. `false` when another stream serves the client, or it has expired.
    pub(super) fn admit_numbered(
        &mut self,
        (client, ticket): (ClientId, u64),
        (seq, below): (Seq, Seq),
        command: Command,
        place: Place,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&client).filter(|stream| stream.ticket == ticket) else { return false };
        stream.window.push(seq, below, command, Answer::Stream(stream.replies.clone()), place);
        if self.linked {
            self.sending.add(client);
        }
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

    /// Commands can be sent from now on, all unanswered ones first; or nobody leads.
    pub(super) fn set_linked(&mut self, linked: bool) {
        self.linked = linked;
        self.sending.clear();
        self.resend();
    }

    /// Whether anything can be sent.
    pub(super) fn is_linked(&self) -> bool {
        self.linked
    }

    /// Everything unanswered is sent again.
    pub(super) fn resend(&mut self) {
        if !self.linked {
            return;
        }
        if let Some(registering) = &mut self.registering {
            registering.sent = false;
        }
        let own = self.own.iter_mut().map(|own| &mut own.window);
        let streams = self.streams.values_mut().map(|stream| &mut stream.window);
        for window in own.chain(streams) {
            if window.rewind() {
                self.sending.add(window.client());
            }
        }
    }

    /// Takes what is to be sent next: commands of each client in their order. Nothing without a link.
    pub(super) fn take(&mut self, into: &mut Vec<Bytes>, mut room: FrameRoom) {
        if !self.linked {
            return;
        }
        if let Some(registering) = self.registering.as_mut().filter(|registering| !registering.sent) {
            registering.sent = true;
            into.push(registering.bytes.clone());
        }
        while let Some(client) = self.sending.next() {
            let own = self.own.as_mut().map(|own| &mut own.window).filter(|window| window.client() == client);
            let window = own.or_else(|| self.streams.get_mut(&client).map(|stream| &mut stream.window));
            // A client that has gone away has nothing to send.
            let Some(window) = window else { continue };
            if !window.take(into, &mut room) {
                self.sending.add(client);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_machine::command::Item;
    use flame_storage::codec;

    use super::*;

    const CLIENT: ClientId = ClientId(9);

    const FRAME: FrameRoom = FrameRoom { commands: 256, bytes: 1 << 20 };

    fn windows() -> Windows {
        let mut windows = Windows::default();
        windows.set_linked(true);
        windows
    }

    fn items(windows: &mut Windows, room: FrameRoom) -> Vec<Item> {
        let mut taken = Vec::new();
        windows.take(&mut taken, room);
        taken.into_iter().map(|bytes| codec::decode::<Item>(bytes).unwrap()).collect()
    }

    fn sent(windows: &mut Windows) -> Vec<u64> {
        items(windows, FRAME).iter().map(|item| item.seq.0).collect()
    }

    fn submit(windows: &mut Windows, ticket: u64, seq: u64) -> bool {
        windows.admit_numbered((CLIENT, ticket), (Seq(seq), Seq(1)), Command::Void, Place::default())
    }

    fn out_of_order() -> Reply {
        Reply::Refused(Refusal::OutOfOrder { expected: Seq(1) })
    }

    #[test]
    fn replies_find_their_stream_and_nobody_elses() {
        let mut windows = windows();
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
        let mut windows = windows();
        let (ticket, _replies) = windows.open_stream(CLIENT);
        assert!((1..=3).all(|seq| submit(&mut windows, ticket, seq)));
        assert_eq!(sent(&mut windows), [1, 2, 3]);
        assert!(windows.on_replies(&[(CLIENT, Seq(2), out_of_order())]).resend);
        windows.on_replies(&[(CLIENT, Seq(1), Reply::Done)]);
        windows.set_linked(false);
        assert!(sent(&mut windows).is_empty());
        windows.set_linked(true);
        assert_eq!(sent(&mut windows), [2, 3]);
        assert!(sent(&mut windows).is_empty(), "once on each link");
    }

    #[test]
    fn sending_everything_again_many_times_piles_nothing_up() {
        let mut windows = windows();
        windows.set_registering(Bytes::new());
        let (ticket, _replies) = windows.open_stream(CLIENT);
        assert!((1..=3).all(|seq| submit(&mut windows, ticket, seq)));
        for _ in 0..1000 {
            windows.resend();
        }
        let mut taken = Vec::new();
        windows.take(&mut taken, FRAME);
        assert_eq!(taken.len(), 4, "the registration, and each command once");
        assert!(sent(&mut windows).is_empty());
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut windows = windows();
        windows.register(ClientId(1));
        let (ticket, _replies) = windows.open_stream(CLIENT);
        assert!((1..=5).all(|seq| submit(&mut windows, ticket, seq)));
        assert!(windows.admit(Command::Void, Place::default()).is_some());
        let two = FrameRoom { commands: 2, ..FRAME };
        let mut order = Vec::new();
        for _ in 0..3 {
            order.extend(items(&mut windows, two).iter().map(|item| (item.client.0, item.seq.0)));
        }
        assert_eq!(order, [(9, 1), (9, 2), (1, 1), (9, 3), (9, 4), (9, 5)]);
    }

    #[test]
    fn a_frame_is_full_by_bytes_too_and_a_large_command_goes_alone() {
        let mut windows = windows();
        let (ticket, _replies) = windows.open_stream(CLIENT);
        assert!((1..=3).all(|seq| submit(&mut windows, ticket, seq)));
        let small = FrameRoom { bytes: 1, ..FRAME };
        let frames: Vec<usize> = (0..4).map(|_| items(&mut windows, small).len()).collect();
        assert_eq!(frames, [1, 1, 1, 0]);
    }

    #[test]
    fn what_never_left_is_given_up_for_certain() {
        let mut windows = windows();
        windows.register(ClientId(1));
        let (first, _reply) = windows.admit(Command::Void, Place::default()).unwrap();
        assert_eq!(windows.give_up(first), GivenUp::NeverSent);
        assert_eq!(sent(&mut windows), [1], "its place is taken by Void");
        assert_eq!(windows.give_up(first), GivenUp::MayHappen);
    }

    #[test]
    fn a_later_stream_of_a_client_takes_over() {
        let mut windows = windows();
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
        let mut windows = windows();
        windows.register(ClientId(1));
        let (ticket, mut replies) = windows.open_stream(CLIENT);
        assert!(submit(&mut windows, ticket, 1));
        let gone = Reply::Refused(Refusal::SessionExpired(CLIENT));
        assert!(!windows.on_replies(&[(CLIENT, Seq(1), gone)]).own_expired);
        assert!(matches!(replies.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(windows.admit(Command::Void, Place::default()).is_some());
    }
}
