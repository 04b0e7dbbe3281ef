//! W5, capacity: sessions of different sizes come, want all there is, and go while their tasks still run.

use super::{Board, Next, Script, Shape};

#[derive(Debug)]
pub(super) struct Capacity;

/// Sessions at a time.
const SESSIONS: usize = 8;

impl Script for Capacity {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        let dice = board.dice(client);
        let shape = Shape {
            slots: dice.between(1, 4) as u32,
            executors_max: dice.between(1, 8) as u32,
            priority: dice.below(3) as u32,
        };
        let ends = dice.percent(10);
        board.in_sessions(client, SESSIONS, Some(shape), |board, session| {
            if ends {
                return board.close(client, session, true);
            }
            let tasks = board.dice(client).between(1, 16);
            board.submit(client, session, tasks, (1, 100))
        })
    }
}
