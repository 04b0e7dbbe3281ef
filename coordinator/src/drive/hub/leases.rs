//! Leases of workers and of cache nodes, in the leader's memory.
//!
//! Each heartbeat renews the lease: one every second from a worker that works, every other second from one that idles.
//! A broken stream is logged as `Detach` at once, so that nothing new goes there, and the worker has [`DETACHED_MAX`]
//! to say Hello again; a silent one has [`SILENT_MAX`] since its last heartbeat. Only a worker that said Goodbye,
//! which it does when nothing of it runs any more, expires at once: a stream that breaks without it says nothing about
//! the worker behind. After a change of leader everybody has [`SILENT_MAX`], whatever the old leader had seen: a new
//! leader must not judge workers by heartbeats it did not hear. For cache nodes all of this is the same.
//!
//! A leader may itself stand still, or be cut off, and must not let workers pay for that. Heartbeats that came while it
//! stood still are read after it has looked at its clock, so everybody gets that time back ([`Leases::extend`]). And one
//! that no majority has answered for [`MAJORITY_MAX`] renews nothing: somebody else may lead by now, and the worker
//! is to look for that one while its lease still lasts. Nor does it give anybody up then: its own voice is the only one
//! it hears, and what it proposes now would be done when the others are back ([`Leases::begin_again`]).

use std::collections::BTreeMap;
use std::time::Duration;

use flame_machine::command::{Command, LeaseEnd};
use flame_types::{Epoch, NodeName};
use tokio::time::Instant;

/// A detached worker expires after this time without a Hello.
pub const DETACHED_MAX: Duration = Duration::from_secs(5);

/// An attached worker expires after this time without a heartbeat, and so does one that a new leader has not heard yet.
pub const SILENT_MAX: Duration = Duration::from_secs(10);

/// A leader renews leases only while a majority has answered it within this time: a third of a lease.
pub const MAJORITY_MAX: Duration = Duration::from_millis(3_300);

/// The way to those of one kind who have leases, and what the log is told of them.
pub(super) trait Way {
    /// Ends the stream.
    fn close(&self);
    /// Its stream is lost.
    fn detach(node: NodeName, epoch: Epoch) -> Command;
    /// Its lease is over.
    fn expire(node: NodeName, epoch: Epoch, end: LeaseEnd) -> Command;
}

/// All of one kind that the leader knows.
pub(super) struct Leases<W> {
    nodes: BTreeMap<NodeName, Lease<W>>,
}

struct Lease<W> {
    epoch: Epoch,
    /// `None` while detached.
    way: Option<W>,
    /// When it expires.
    deadline: Instant,
    /// Its expiry is proposed: no renewal is acknowledged any more.
    expiring: bool,
    /// Why, if it is.
    end: LeaseEnd,
}

impl<W> Default for Leases<W> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new() }
    }
}

impl<W: Way> Leases<W> {
    /// Everybody detached, with a full period.
    pub(super) fn begin(known: Vec<(NodeName, Epoch)>) -> Self {
        let deadline = Instant::now() + SILENT_MAX;
        let lease = |epoch| Lease::new(epoch, None, deadline);
        Self { nodes: known.into_iter().map(|(node, epoch)| (node, lease(epoch))).collect() }
    }

    pub(super) fn attached(&self) -> usize {
        self.nodes.values().filter(|lease| lease.way.is_some()).count()
    }

    /// Those who are attached by name, at most so many.
    pub(super) fn names(&self, most: usize) -> Vec<NodeName> {
        let attached = self.nodes.iter().filter(|(_, lease)| lease.way.is_some());
        attached.map(|(node, _)| node.clone()).take(most).collect()
    }

    /// A Hello was applied: this stream is the worker's only one now.
    pub(super) fn attach(&mut self, node: NodeName, epoch: Epoch, way: W) {
        let deadline = Instant::now() + SILENT_MAX;
        let lease = Lease::new(epoch, Some(way), deadline);
        if let Some(Lease { way: Some(older), .. }) = self.nodes.insert(node, lease) {
            older.close();
        }
    }

    pub(super) fn is_attached(&self, node: &NodeName, epoch: Epoch) -> bool {
        self.nodes.get(node).is_some_and(|lease| lease.epoch == epoch && lease.way.is_some())
    }

    /// The way to one that is attached.
    pub(super) fn way(&mut self, node: &NodeName) -> Option<&mut W> {
        self.nodes.get_mut(node)?.way.as_mut()
    }

    /// The ways to all that are attached, each with its lease.
    pub(super) fn ways(&mut self) -> impl Iterator<Item = (&NodeName, Epoch, &mut W)> {
        self.nodes.iter_mut().filter_map(|(node, lease)| Some((node, lease.epoch, lease.way.as_mut()?)))
    }

    /// A heartbeat came. Returns whether it may be acknowledged.
    pub(super) fn renew(&mut self, node: &NodeName, epoch: Epoch) -> bool {
        match self.nodes.get_mut(node) {
            Some(lease) if lease.epoch == epoch && !lease.expiring => {
                lease.deadline = Instant::now() + SILENT_MAX;
                true
            }
            _ => false,
        }
    }

    /// The stream of this lease is gone. Returns whether that is news to be logged.
    pub(super) fn detach(&mut self, node: &NodeName, epoch: Epoch) -> bool {
        match self.nodes.get_mut(node) {
            Some(lease) if lease.epoch == epoch && lease.way.is_some() => {
                lease.way = None;
                lease.deadline = Instant::now() + DETACHED_MAX;
                true
            }
            _ => false,
        }
    }

    /// The worker behind this stream has said that it is gone: its lease is over. Returns whether that is news; then
    /// the caller proposes the expiry and says what became of it: [`Leases::expiry_settled`].
    pub(super) fn part(&mut self, node: &NodeName, epoch: Epoch) -> bool {
        match self.nodes.get_mut(node) {
            Some(lease) if lease.epoch == epoch && lease.way.is_some() => {
                lease.way = None;
                lease.deadline = Instant::now();
                lease.expiring = true;
                lease.end = LeaseEnd::Goodbye;
                true
            }
            _ => false,
        }
    }

    /// A Hello was applied whose worker waits for the answer no more: nobody would watch over its lease. It is that of a
    /// worker whose stream has just broken. Returns whether that is to be logged.
    pub(super) fn unclaimed(&mut self, node: &NodeName, epoch: Epoch) -> bool {
        if self.nodes.get(node).is_some_and(|lease| lease.epoch >= epoch) {
            return false;
        }
        let deadline = Instant::now() + DETACHED_MAX;
        let lease = Lease::new(epoch, None, deadline);
        if let Some(Lease { way: Some(older), .. }) = self.nodes.insert(node.clone(), lease) {
            older.close();
        }
        true
    }

    /// Everybody has a full period from now on.
    pub(super) fn begin_again(&mut self) {
        let deadline = Instant::now() + SILENT_MAX;
        self.nodes.values_mut().filter(|lease| !lease.expiring).for_each(|lease| lease.deadline = deadline);
    }

    /// This node stood still for so long: nobody has lost that time.
    pub(super) fn extend(&mut self, stood_still: Duration) {
        for lease in self.nodes.values_mut().filter(|lease| !lease.expiring) {
            lease.deadline += stood_still;
        }
    }

    /// When the next lease runs out whose expiry is not proposed yet.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.nodes.values().filter(|lease| !lease.expiring).map(|lease| lease.deadline).min()
    }

    /// Proposals for the leases that have run out by now; each is made once.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        for (node, lease) in &mut self.nodes {
            if lease.deadline > now || lease.expiring {
                continue;
            }
            lease.expiring = true;
            if let Some(way) = lease.way.take() {
                way.close();
                commands.push(W::detach(node.clone(), lease.epoch));
            }
            commands.push(W::expire(node.clone(), lease.epoch, lease.end));
        }
        commands
    }

    /// The expiry of a lease was applied or refused; or it did not make it into the log.
    pub(super) fn expiry_settled(&mut self, node: &NodeName, epoch: Epoch, settled: bool) {
        if settled {
            self.forget(node, epoch);
        } else {
            self.expire_again(node, epoch);
        }
    }

    /// The expiry of this lease was applied, or refused because the worker came back.
    fn forget(&mut self, node: &NodeName, epoch: Epoch) {
        if self.nodes.get(node).is_some_and(|lease| lease.epoch == epoch && lease.expiring) {
            self.nodes.remove(node);
        }
    }

    /// An expiry did not make it into the log: try again.
    fn expire_again(&mut self, node: &NodeName, epoch: Epoch) {
        if let Some(lease) = self.nodes.get_mut(node)
            && lease.epoch == epoch
        {
            lease.expiring = false;
        }
    }
}

impl<W> Lease<W> {
    fn new(epoch: Epoch, way: Option<W>, deadline: Instant) -> Self {
        Self { epoch, way, deadline, expiring: false, end: LeaseEnd::RanOut }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::WorkerStream;
    use super::super::told::Line;
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn stream() -> Line {
        Line::new(WorkerStream {
            orders: mpsc::channel(1).0,
            end: CancellationToken::new(),
            frames: mpsc::channel(1).0.downgrade(),
        })
    }

    #[test]
    fn a_new_leader_gives_everybody_a_full_period() {
        let before = Instant::now();
        let mut leases = Leases::<Line>::begin(vec![(name("w1"), Epoch(3))]);
        assert!(leases.expire(before + SILENT_MAX - Duration::from_millis(1)).is_empty());
        let expired = leases.expire(Instant::now() + SILENT_MAX);
        assert_eq!(expired, [Command::ExpireNode { node: name("w1"), epoch: Epoch(3), end: LeaseEnd::RanOut }]);
        assert!(leases.expire(Instant::now() + SILENT_MAX).is_empty(), "proposed once");
    }

    #[test]
    fn nobody_pays_for_a_leader_that_stood_still() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("silent"), Epoch(1), stream());
        leases.attach(name("gone"), Epoch(2), stream());
        assert!(leases.part(&name("gone"), Epoch(2)));
        let before = leases.next_expiry().expect("one of them lives");
        leases.extend(SILENT_MAX);
        assert_eq!(leases.next_expiry(), Some(before + SILENT_MAX));
        assert!(leases.expire(before).is_empty());
        assert_eq!(leases.expire(before + SILENT_MAX).len(), 2, "what it did not say afterwards counts");
    }

    #[test]
    fn a_hello_that_nobody_waits_for_leaves_a_lease_that_runs_out() {
        let mut leases = Leases::<Line>::begin(vec![(name("w1"), Epoch(1))]);
        assert!(leases.unclaimed(&name("w1"), Epoch(2)));
        assert!(!leases.is_attached(&name("w1"), Epoch(2)));
        assert!(!leases.renew(&name("w1"), Epoch(1)), "the lease before it is over");
        let expired = leases.expire(Instant::now() + DETACHED_MAX);
        assert_eq!(expired, [Command::ExpireNode { node: name("w1"), epoch: Epoch(2), end: LeaseEnd::RanOut }]);

        leases.attach(name("w2"), Epoch(5), stream());
        assert!(!leases.unclaimed(&name("w2"), Epoch(4)), "an older one changes nothing");
        assert!(!leases.unclaimed(&name("w2"), Epoch(5)), "and this one was waited for");
        assert!(leases.is_attached(&name("w2"), Epoch(5)));
    }

    #[test]
    fn a_leader_that_finds_its_majority_again_gives_everybody_a_full_period() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("w1"), Epoch(1), stream());
        leases.detach(&name("w1"), Epoch(1));
        let before = Instant::now();
        leases.begin_again();
        assert!(leases.next_expiry().expect("it lives") >= before + SILENT_MAX);
    }

    #[test]
    fn the_next_expiry_is_that_of_the_lease_that_runs_out_first() {
        let mut leases = Leases::<Line>::default();
        assert_eq!(leases.next_expiry(), None);
        leases.attach(name("w1"), Epoch(1), stream());
        let first = leases.next_expiry().unwrap();
        leases.attach(name("w2"), Epoch(2), stream());
        assert_eq!(leases.next_expiry(), Some(first));
        assert!(leases.renew(&name("w1"), Epoch(1)));
        let second = leases.next_expiry().unwrap();
        assert!(second >= first);
        leases.detach(&name("w2"), Epoch(2));
        assert!(leases.next_expiry().unwrap() < second, "a detached one has less time");
        leases.expire(second - SILENT_MAX + DETACHED_MAX + Duration::from_secs(1));
        assert_eq!(leases.next_expiry(), Some(leases.nodes[&name("w1")].deadline), "one that is proposed is over");
    }

    #[test]
    fn no_renewal_is_acknowledged_once_the_expiry_is_proposed() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("w1"), Epoch(1), stream());
        assert!(leases.renew(&name("w1"), Epoch(1)));
        assert!(!leases.renew(&name("w1"), Epoch(2)));
        assert_eq!(leases.expire(Instant::now() + SILENT_MAX).len(), 2, "Detach, then ExpireNode");
        assert!(!leases.renew(&name("w1"), Epoch(1)));
    }

    #[test]
    fn a_goodbye_ends_the_lease_at_once_and_a_broken_stream_does_not() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("gone"), Epoch(1), stream());
        leases.attach(name("broken"), Epoch(2), stream());
        assert!(leases.part(&name("gone"), Epoch(1)));
        assert!(leases.detach(&name("broken"), Epoch(2)));
        assert!(!leases.renew(&name("gone"), Epoch(1)), "no word of it counts any more");
        let before = Instant::now();
        assert_eq!(leases.expire(before), [], "the goodbye is proposed already, and the other has time to come back");

        leases.expire_again(&name("gone"), Epoch(1));
        let again = leases.expire(before);
        assert_eq!(
            again,
            [Command::ExpireNode { node: name("gone"), epoch: Epoch(1), end: LeaseEnd::Goodbye }],
            "a lost proposal is made again, for the same reason"
        );
        leases.forget(&name("gone"), Epoch(1));
        assert_eq!(leases.nodes.len(), 1);
    }

    #[test]
    fn only_the_present_stream_can_say_goodbye() {
        let mut leases = Leases::<Line>::begin(vec![(name("w2"), Epoch(7))]);
        leases.attach(name("w1"), Epoch(1), stream());
        leases.attach(name("w1"), Epoch(2), stream());
        assert!(!leases.part(&name("w1"), Epoch(1)), "a stream that was replaced");
        assert!(!leases.part(&name("w2"), Epoch(7)), "a stream of an earlier leader's time");
        assert!(!leases.part(&name("w3"), Epoch(1)), "nobody");
        assert!(leases.is_attached(&name("w1"), Epoch(2)));
        assert!(leases.part(&name("w1"), Epoch(2)));
        assert!(!leases.part(&name("w1"), Epoch(2)), "said twice, proposed once");
    }

    #[test]
    fn a_stale_stream_does_not_detach_the_live_one() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("w1"), Epoch(1), stream());
        leases.attach(name("w1"), Epoch(2), stream());
        assert!(!leases.detach(&name("w1"), Epoch(1)));
        assert!(leases.is_attached(&name("w1"), Epoch(2)));
        assert!(leases.detach(&name("w1"), Epoch(2)));
        assert!(!leases.detach(&name("w1"), Epoch(2)), "news only once");
    }
}
