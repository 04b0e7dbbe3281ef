//! W4, duplicates: every change is asked for one to five times under the same request id, by several clients and by way of
//! random nodes; some come once more, much later.

use std::collections::VecDeque;

use super::{Board, Next, Order, Script};

#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// Copies to be sent now, by whoever asks next.
    now: VecDeque<Order>,
    /// Copies to be sent when so many other orders have gone out.
    later: VecDeque<(u64, Order)>,
    sent: u64,
}

/// Late copies come after so many other orders.
const LATE: (u64, u64) = (50, 500);

impl Duplicates {
    fn copy(&mut self, board: &mut Board, client: usize, order: &Order) {
        let copies = board.dice(client).below(5);
        for _ in 0..copies {
            let node = board.dice(client).throw();
            self.now.push_back(Order { node, ..order.clone() });
        }
        if board.dice(client).percent(20) {
            let at = self.sent + board.dice(client).between(LATE.0, LATE.1);
            let node = board.dice(client).throw();
            self.later.push_back((at, Order { node, ..order.clone() }));
        }
    }
}

impl Script for Duplicates {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        self.sent += 1;
        if let Some(copy) = self.now.pop_front() {
            return copy.into();
        }
        if let Some((at, copy)) = self.later.pop_front() {
            if at <= self.sent {
                return copy.into();
            }
            self.later.push_front((at, copy));
        }
        let cancels = board.dice(client).percent(15);
        let next = match cancels.then(|| board.cancel(client)).flatten() {
            Some(order) => order.into(),
            None => board.in_sessions(client, 2, None, |board, session| {
                let tasks = board.dice(client).between(1, 3);
                board.submit(client, session, tasks, (0, 20))
            }),
        };
        if let Next::Do(order) = &next {
            self.copy(board, client, order);
        }
        next
    }
}
