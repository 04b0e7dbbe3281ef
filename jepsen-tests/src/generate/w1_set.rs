//! W1, the set: unique tasks into one session, by way of all nodes; in the end everything is read.

use super::{Board, Next, Script};

#[derive(Debug)]
pub(super) struct Set;

impl Script for Set {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        board.in_sessions(client, 1, None, |board, session| {
            let tasks = board.dice(client).between(1, 4);
            board.submit(client, session, tasks, (0, 5))
        })
    }
}
