//! W9, members: one client changes the cluster (coordinators come and go between their first number and two more, the lead
//! moves, workers are cordoned and drained), all others do the set.

use flame_types::CoordinatorId;

use super::w1_set::Set;
use super::{Board, Next, Script};
use crate::record::{AdminChange, Text};

#[derive(Debug)]
pub(super) struct Members {
    /// Those there are, as far as was asked for.
    present: Vec<CoordinatorId>,
    next_node: u64,
    cordoned: Vec<Text>,
}

/// Coordinators beyond those of the beginning.
const MORE_MAX: usize = 2;

/// Of a hundred operations of the one who changes the cluster, so many do; the rest are of the set.
const CHANGES_PERCENT: u64 = 10;

impl Members {
    pub(super) fn new(nodes: u32) -> Self {
        let present: Vec<CoordinatorId> = (1..=u64::from(nodes)).map(CoordinatorId).collect();
        Self { next_node: present.len() as u64 + 1, present, cordoned: Vec::new() }
    }

    fn change(&mut self, board: &mut Board, client: usize) -> AdminChange {
        let first = board.nodes() as usize;
        let dice = board.dice(client);
        match dice.below(4) {
            // An id is never used again.
            0 if self.present.len() < first + MORE_MAX => {
                let node = CoordinatorId(self.next_node);
                self.next_node += 1;
                self.present.push(node);
                AdminChange::AddNode { node }
            }
            0 | 1 if self.present.len() > first => {
                let place = dice.below(self.present.len() as u64) as usize;
                AdminChange::RemoveNode { node: self.present.swap_remove(place) }
            }
            2 => {
                let place = dice.below(self.present.len() as u64) as usize;
                AdminChange::TransferLead { to: self.present[place] }
            }
            _ => match self.cordoned.pop() {
                Some(worker) => AdminChange::Cordon { worker, on: false },
                None => {
                    let worker = Text::from(format!("worker-{}", dice.between(1, 4)));
                    self.cordoned.push(worker.clone());
                    if dice.percent(50) {
                        AdminChange::Drain { worker }
                    } else {
                        AdminChange::Cordon { worker, on: true }
                    }
                }
            },
        }
    }
}

impl Script for Members {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        if client != 0 || !board.dice(client).percent(CHANGES_PERCENT) {
            return Set.next(board, client);
        }
        let change = self.change(board, client);
        board.admin(client, change).into()
    }
}
