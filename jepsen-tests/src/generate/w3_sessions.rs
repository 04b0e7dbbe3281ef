//! W3, sessions: each client takes one session after the other through its whole life: made, watched, filled, read, closed
//! with or without force, perhaps opened once more (which is refused), perhaps deleted.

use super::{Board, Next, Script};
use crate::record::{Nanos, Text};

#[derive(Debug)]
pub(super) struct Sessions {
    /// Where each client is.
    lives: Vec<Option<Life>>,
}

#[derive(Debug)]
struct Life {
    session: Text,
    step: u64,
    submits: u64,
}

impl Sessions {
    pub(super) fn new(clients: usize) -> Self {
        Self { lives: (0..clients).map(|_| None).collect() }
    }
}

impl Script for Sessions {
    fn next(&mut self, board: &mut Board, client: usize) -> Next {
        let Some(life) = &mut self.lives[client] else {
            let (session, order) = board.create(client, None);
            let submits = board.dice(client).between(1, 4);
            self.lives[client] = Some(Life { session, step: 0, submits });
            return order.into();
        };
        life.step += 1;
        let session = life.session.clone();
        let after_submits = life.step.saturating_sub(1 + life.submits);
        let order = match (life.step, after_submits) {
            (1, _) => board.watch(client, &session, false, Nanos(0)),
            (_, 0) => {
                let tasks = board.dice(client).between(1, 8);
                board.submit(client, &session, tasks, (0, 50))
            }
            (_, 1) => board.list(client, &session),
            // Without force it may be refused while tasks run; then comes one that is not.
            (_, 2) => board.close(client, &session, false),
            (_, 3) => board.close(client, &session, true),
            (_, 4) => board.open(client, &session),
            (_, 5) => board.list(client, &session),
            _ => {
                self.lives[client] = None;
                if board.dice(client).percent(50) {
                    return board.delete(client, &session).into();
                }
                return self.next(board, client);
            }
        };
        order.into()
    }
}
