//! What a worker is told, and when. That results are recorded is told together with the next order, or after
//! [`RECORDED_HELD`]: it only frees memory there, and a frame of its own would wake two processes that a lone task needs
//! for itself.

use std::time::Duration;

use flame_machine::command::{Command, LeaseEnd};
use flame_machine::effect::Order;
use flame_types::{Epoch, NodeName, Token};

use super::attach::WeakDown;
use super::leases::{Leases, Way};
use super::{Batch, WorkerStream};

/// How long a worker may keep results that are recorded.
pub(super) const RECORDED_HELD: Duration = Duration::from_millis(20);

/// So many are told at once.
const RECORDED_HELD_MAX: usize = 256;

/// The way to an attached worker, and what it was not told yet.
pub(super) struct Line {
    stream: WorkerStream,
    /// What is recorded and was not told.
    recorded: Vec<Token>,
}

impl Way for Line {
    fn close(&self) {
        self.stream.end.cancel();
    }

    fn detach(node: NodeName, epoch: Epoch) -> Command {
        Command::Detach { node, epoch }
    }

    fn expire(node: NodeName, epoch: Epoch, end: LeaseEnd) -> Command {
        Command::ExpireNode { node, epoch, end }
    }
}

impl Line {
    pub(super) fn new(stream: WorkerStream) -> Self {
        Self { stream, recorded: Vec::new() }
    }

    /// Where frames that are no orders go out.
    pub(super) fn frames(&self) -> &WeakDown {
        &self.stream.frames
    }

    fn send(&mut self, node: &NodeName, mut batch: Batch) {
        let tokens = std::mem::take(&mut self.recorded);
        if !tokens.is_empty() {
            batch.orders.push(Order::Recorded { tokens });
        }
        if self.stream.orders.try_send(batch).is_err() {
            tracing::warn!(node = %node, "the worker does not take its orders; its stream is ended");
            self.stream.end.cancel();
        }
    }
}

impl Leases<Line> {
    /// Hands orders to the worker's stream, or ends the stream when it is full. Returns whether something was held back
    /// for [`Leases::tell_recorded`].
    pub(super) fn send(&mut self, node: &NodeName, mut batch: Batch) -> bool {
        let Some(line) = self.way(node) else { return false };
        let is_more = batch.orders.iter().any(|order| !matches!(order, Order::Recorded { .. }));
        batch.orders.retain_mut(|order| match order {
            Order::Recorded { tokens } => {
                line.recorded.append(tokens);
                false
            }
            _ => true,
        });
        if !is_more && line.recorded.len() < RECORDED_HELD_MAX {
            return !line.recorded.is_empty();
        }
        line.send(node, batch);
        false
    }

    /// Tells what was held back.
    pub(super) fn tell_recorded(&mut self) {
        for (node, epoch, line) in self.ways() {
            if !line.recorded.is_empty() {
                line.send(node, Batch::of(epoch, Vec::new()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_types::ExecutorKey;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn line(orders: mpsc::Sender<Batch>) -> Line {
        let frames = mpsc::channel(1).0.downgrade();
        Line::new(WorkerStream { orders, end: CancellationToken::new(), frames })
    }

    fn recorded(tokens: impl IntoIterator<Item = u64>) -> Order {
        Order::Recorded { tokens: tokens.into_iter().map(Token).collect() }
    }

    fn told(orders: &mut mpsc::Receiver<Batch>) -> Vec<Order> {
        orders.try_recv().map(|batch| batch.orders).unwrap_or_default()
    }

    #[test]
    fn what_is_recorded_is_told_with_the_next_order_or_when_it_is_time_or_much() {
        let mut leases = Leases::<Line>::default();
        let (sender, mut orders) = mpsc::channel(8);
        leases.attach(name("w1"), Epoch(1), line(sender));
        let send = |leases: &mut Leases<Line>, orders| leases.send(&name("w1"), Batch::of(Epoch(1), orders));
        let stop = Order::Stop { executor: ExecutorKey(3) };

        assert!(send(&mut leases, vec![recorded([1])]), "held back");
        assert!(send(&mut leases, vec![recorded([2])]));
        assert_eq!(told(&mut orders), []);
        assert!(!send(&mut leases, vec![recorded([3]), stop.clone()]));
        assert_eq!(told(&mut orders), [stop, recorded([1, 2, 3])]);

        assert!(send(&mut leases, vec![recorded([4])]));
        leases.tell_recorded();
        assert_eq!(told(&mut orders), [recorded([4])]);
        leases.tell_recorded();
        assert_eq!(told(&mut orders), [], "said once");

        let many = RECORDED_HELD_MAX as u64;
        assert!(!send(&mut leases, vec![recorded(0..many)]));
        assert_eq!(told(&mut orders), [recorded(0..many)]);
    }

    #[test]
    fn the_next_lease_tells_nothing_of_the_one_before() {
        let mut leases = Leases::<Line>::default();
        leases.attach(name("w1"), Epoch(1), line(mpsc::channel(1).0));
        assert!(leases.send(&name("w1"), Batch::of(Epoch(1), vec![recorded([1])])));
        let (sender, mut orders) = mpsc::channel(8);
        leases.attach(name("w1"), Epoch(2), line(sender));
        leases.tell_recorded();
        assert_eq!(told(&mut orders), [], "its Hello was answered with what is settled");
    }
}
