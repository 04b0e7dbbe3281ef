//! W7, long tasks: tasks of one to two minutes, so that leaders change and leases pass while they run.

use super::{Board, Next, Script};

#[derive(Debug)]
pub(super) struct LongTasks;

impl Script for LongTasks {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        let reads = board.dice(client).percent(60);
        if let Some(order) = reads.then(|| board.get(client)).flatten() {
            return order.into();
        }
        board.in_sessions(client, 2, None, |board, session| board.submit(client, session, 1, (60_000, 120_000)))
    }
}
