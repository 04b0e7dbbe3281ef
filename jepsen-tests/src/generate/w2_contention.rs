//! W2, contention: few tasks that many read and some cancel while workers take, run and report them: a register for each
//! task, written by leases and results.

use super::{Board, Next, Script};

#[derive(Debug)]
pub(super) struct Contention;

/// Sessions at a time.
const SESSIONS: usize = 3;

impl Script for Contention {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        let what = board.dice(client).below(100);
        let order = match what {
            0..=54 => board.get(client),
            55..=69 => board.cancel(client),
            _ => None,
        };
        if let Some(order) = order {
            return order.into();
        }
        board.in_sessions(client, SESSIONS, None, |board, session| {
            if what >= 95 { board.list(client, session) } else { board.submit(client, session, 1, (5, 400)) }
        })
    }
}
