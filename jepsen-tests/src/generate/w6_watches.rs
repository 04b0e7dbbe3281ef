//! W6, watches: every client has a watch, some of which read slowly, and fills the sessions that are watched.

use super::{Board, Next, Script};
use crate::record::Nanos;

#[derive(Debug)]
pub(super) struct Watches {
    /// Whether each client has its watch.
    watching: Vec<bool>,
}

/// Sessions at a time.
const SESSIONS: usize = 2;

/// How long a slow reader takes for each piece of news.
const SLOW: (u64, u64) = (20, 200);

impl Watches {
    pub(super) fn new(clients: usize) -> Self {
        Self { watching: vec![false; clients] }
    }
}

impl Script for Watches {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        let is_watching = self.watching[client];
        let next = board.in_sessions(client, SESSIONS, None, |board, session| {
            if is_watching {
                let tasks = board.dice(client).between(1, 32);
                return board.submit(client, session, tasks, (0, 10));
            }
            let dice = board.dice(client);
            let (is_slow, every) = (dice.percent(50), dice.percent(50));
            let pace = if is_slow { dice.between(SLOW.0, SLOW.1) } else { 0 };
            board.watch(client, session, every, Nanos::from_millis(pace))
        });
        let opens = matches!(&next, Next::Do(order) if order.operation.name() == "watch");
        self.watching[client] |= opens;
        next
    }
}
