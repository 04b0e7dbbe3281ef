//! W8, the mix: every client draws the workload of each operation anew.

use super::w1_set::Set;
use super::w2_contention::Contention;
use super::w3_sessions::Sessions;
use super::w4_duplicates::Duplicates;
use super::w5_capacity::Capacity;
use super::w6_watches::Watches;
use super::w7_long_tasks::LongTasks;
use super::{Board, Next, Script};

#[derive(Debug)]
pub(super) struct Mixed {
    sessions: Sessions,
    duplicates: Duplicates,
    watches: Watches,
}

impl Mixed {
    pub(super) fn new(clients: usize) -> Self {
        Self { sessions: Sessions::new(clients), duplicates: Duplicates::default(), watches: Watches::new(clients) }
    }
}

impl Script for Mixed {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        match board.dice(client).below(100) {
            0..=24 => Set.next(board, client),
            25..=44 => Contention.next(board, client),
            45..=64 => self.sessions.next(board, client),
            65..=74 => self.duplicates.next(board, client),
            75..=84 => Capacity.next(board, client),
            85..=98 => self.watches.next(board, client),
            _ => LongTasks.next(board, client),
        }
    }
}
