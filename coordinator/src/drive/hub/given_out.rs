//! A task that goes to its worker before its entry is written ([`flame_machine::Foreseen`]).
//!
//! **Invariant:** there is one at a time, and while there is, its command is the next one that this leader writes.

use std::sync::{Arc, Weak};

use flame_machine::Foreseen;
use flame_machine::effect::{Effect, Order};
use flame_machine::reply::Reply;
use flame_types::{ClientId, Epoch, NodeName, Payload, Seq, Token};

use super::{Batch, Hub, Inner, Table};

/// The task, until its entry is applied.
pub(super) struct GivenOut {
    node: NodeName,
    epoch: Epoch,
    token: Token,
    /// Who is answered when it is.
    client: ClientId,
    seq: Seq,
}

/// The input of a task that has no row yet.
pub(super) struct KnownInput {
    pub(super) token: Token,
    pub(super) input: Option<Payload>,
}

impl GivenOut {
    /// Whether this effect is the order that the worker has already.
    pub(super) fn is_made_by(&self, effect: &Effect) -> bool {
        let is_it = matches!(effect.order, Order::Assign { token, .. } if token == self.token);
        is_it && effect.node == self.node && effect.epoch == self.epoch
    }
}

impl Table {
    /// The entry came, and did something else: what the worker has is nobody's.
    pub(super) fn take_back(&mut self, replies: &[(ClientId, Seq, Reply)]) {
        let is_answered = |given_out: &mut GivenOut| {
            replies.iter().any(|(client, seq, _)| (*client, *seq) == (given_out.client, given_out.seq))
        };
        let Some(GivenOut { node, epoch, token, .. }) = self.given_out.take_if(is_answered) else { return };
        tracing::debug!(%node, %token, "a task was given out, and its entry did something else");
        if self.leases.is_attached(&node, epoch) {
            let order = Order::Cancel { tokens: vec![token] };
            self.leases.send(&node, Batch::of(epoch, vec![order]));
        }
    }
}

/// The way to the workers for whoever must not keep the hub alive.
#[derive(Clone)]
pub struct WayAhead(Weak<Inner>);

impl Hub {
    /// For the batcher, which the hub has itself.
    #[must_use]
    pub fn way_ahead(&self) -> WayAhead {
        WayAhead(Arc::downgrade(&self.inner))
    }
}

impl WayAhead {
    /// Gives a task out: its command, of this client and number, must be the next one that is written. Says whether the
    /// worker was told.
    #[must_use]
    pub fn give_out(&self, foreseen: &Foreseen, input: Option<Payload>, (client, seq): (ClientId, Seq)) -> bool {
        let Some(inner) = self.0.upgrade() else { return false };
        let hub = Hub { inner };
        // A leader that nobody follows any more gives out nothing.
        if hub.check_majority().is_err() {
            return false;
        }
        let mut table = hub.table();
        let Foreseen { node, epoch, order, ahead } = foreseen;
        if table.open.is_none() || table.given_out.is_some() || !table.leases.is_attached(node, *epoch) {
            return false;
        }
        let (epoch, token) = (*epoch, ahead.token);
        table.given_out = Some(GivenOut { node: node.clone(), epoch, token, client, seq });
        let batch = Batch { epoch, orders: vec![order.clone()], input: Some(KnownInput { token, input }) };
        table.leases.send(node, batch);
        true
    }
}

#[cfg(test)]
mod tests {
    use flame_types::{ExecutorKey, SessionKey, TaskNo};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::WorkerStream;
    use super::super::told::Line;
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    /// A table with a worker that has token 7 before its entry, and what the worker is told.
    fn table() -> (Table, mpsc::Receiver<Batch>) {
        let (orders, told) = mpsc::channel(8);
        let stream = WorkerStream { orders, end: CancellationToken::new(), frames: mpsc::channel(1).0.downgrade() };
        let mut table = Table::default();
        table.leases.attach(name("w1"), Epoch(3), Line::new(stream));
        let (client, seq) = (ClientId(5), Seq(9));
        table.given_out = Some(GivenOut { node: name("w1"), epoch: Epoch(3), token: Token(7), client, seq });
        (table, told)
    }

    fn assign(token: u64, epoch: u64) -> Effect {
        let order = Order::Assign {
            executor: ExecutorKey(1),
            session: SessionKey(1),
            task: TaskNo(1),
            attempt: 1,
            token: Token(token),
            timeout_ms: None,
        };
        Effect { node: name("w1"), epoch: Epoch(epoch), order }
    }

    #[test]
    fn only_the_very_order_is_known_to_the_worker() {
        let (table, _told) = table();
        let given_out = table.given_out.unwrap();
        assert!(given_out.is_made_by(&assign(7, 3)));
        assert!(!given_out.is_made_by(&assign(8, 3)));
        assert!(!given_out.is_made_by(&assign(7, 4)), "another lease");
    }

    #[test]
    fn what_its_entry_did_not_do_is_cancelled_once() {
        let (mut table, mut told) = table();
        table.take_back(&[(ClientId(5), Seq(8), Reply::Done), (ClientId(6), Seq(9), Reply::Done)]);
        assert!(told.try_recv().is_err(), "its entry is still to come");
        for _ in 0..2 {
            table.take_back(&[(ClientId(5), Seq(9), Reply::Done)]);
        }
        assert_eq!(told.try_recv().unwrap().orders, [Order::Cancel { tokens: vec![Token(7)] }]);
        assert!(told.try_recv().is_err());
    }
}
