//! When a heartbeat is sent.
//!
//! There is a turn for one every second. Heartbeats renew the lease, which lasts ten seconds, and their answers prove
//! that the leader is there and has read everything before. A worker that has nothing else to say lets every other
//! turn pass: that is five heartbeats in a lease, and for the leader of a thousand idle workers half of its work. A
//! leader that falls silent is found out no later, since the time without an answer after which it is left is the
//! same.
//!
//! **Invariant:** of two turns in a row at least one is taken, and every turn is while an answer is owed or something
//! was said since the last one.

use std::collections::VecDeque;

use flame_proto::ha;
use tokio::time::Instant;

/// Most heartbeats that can be without an answer; a leader that owes so many was left long ago.
const UNANSWERED_MAX: usize = 64;

/// The numbers of heartbeats, which grow for as long as the worker lives.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    /// Of the last heartbeat.
    last: u64,
    /// Those of this link that are not answered, and when they were sent.
    unanswered: VecDeque<(u64, Instant)>,
    first_of_link: u64,
    /// Of the last one that was answered.
    answered: u64,
    /// Something else was said since the last heartbeat.
    has_spoken: bool,
    /// The last turn passed.
    has_paused: bool,
}

/// What an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// When that heartbeat was sent; none if this answer is old.
    pub(crate) sent: Option<Instant>,
    /// Whether the link has proved that it holds.
    pub(crate) link_holds: bool,
}

impl Heartbeats {
    /// The number of the last heartbeat.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// A link begins: nobody has answered on it yet.
    pub(crate) fn on_attached(&mut self) {
        self.first_of_link = self.last + 1;
        self.unanswered.clear();
    }

    /// Something else than a heartbeat was sent.
    pub(crate) fn on_spoken(&mut self) {
        self.has_spoken = true;
    }

    /// It is time for a heartbeat. `None` when this turn passes.
    pub(crate) fn on_turn(&mut self) -> Option<ha::Heartbeat> {
        // The answer to the second on a link tells that the link holds.
        let is_settled = self.last > self.first_of_link;
        let is_answered = self.answered >= self.last;
        if is_settled && is_answered && !self.has_spoken && !self.has_paused {
            self.has_paused = true;
            return None;
        }
        (self.has_spoken, self.has_paused) = (false, false);
        self.last += 1;
        if self.unanswered.len() < UNANSWERED_MAX {
            self.unanswered.push_back((self.last, Instant::now()));
        }
        Some(ha::Heartbeat { number: self.last })
    }

    /// An answer came.
    pub(crate) fn on_answer(&mut self, heartbeat: u64) -> Answered {
        self.answered = self.answered.max(heartbeat);
        let mut sent = None;
        while let Some((_, at)) = self.unanswered.pop_front_if(|(number, _)| *number <= heartbeat) {
            sent = Some(at);
        }
        Answered { sent, link_holds: heartbeat > self.first_of_link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of what is sent in the next turns; everything is answered.
    fn answered(heartbeats: &mut Heartbeats, turns: usize) -> Vec<Option<u64>> {
        (0..turns)
            .map(|_| {
                let number = heartbeats.on_turn()?.number;
                heartbeats.on_answer(number);
                Some(number)
            })
            .collect()
    }

    fn attached() -> Heartbeats {
        let mut heartbeats = Heartbeats::default();
        heartbeats.on_attached();
        heartbeats
    }

    #[test]
    fn an_idle_worker_lets_every_other_turn_pass_once_its_link_holds() {
        let mut heartbeats = attached();
        assert_eq!(answered(&mut heartbeats, 7), [Some(1), Some(2), None, Some(3), None, Some(4), None]);
        assert_eq!(heartbeats.last(), 4);
        heartbeats.on_attached();
        assert_eq!(answered(&mut heartbeats, 4), [Some(5), Some(6), None, Some(7)], "and so on the next link");
    }

    #[test]
    fn the_link_holds_when_its_second_heartbeat_is_answered() {
        let mut heartbeats = attached();
        answered(&mut heartbeats, 5);
        heartbeats.on_attached();
        let numbers: Vec<u64> = (0..2).filter_map(|_| heartbeats.on_turn()).map(|sent| sent.number).collect();
        assert_eq!(numbers, [4, 5]);
        assert!(!heartbeats.on_answer(4).link_holds && heartbeats.on_answer(5).link_holds);
    }

    #[test]
    fn an_answer_is_as_old_as_what_it_answers() {
        let mut heartbeats = attached();
        let mut turns = Vec::new();
        for _ in 0..3 {
            let before = Instant::now();
            heartbeats.on_turn().expect("nothing is answered");
            turns.push(before..=Instant::now());
        }
        let sent = heartbeats.on_answer(2).sent.expect("it was sent on this link");
        assert!(turns[1].contains(&sent));
        assert_eq!(heartbeats.on_answer(1).sent, None, "said by the answer before");
        heartbeats.on_attached();
        assert_eq!(heartbeats.on_answer(3).sent, None, "of the link before");
    }

    #[test]
    fn no_turn_passes_while_an_answer_is_owed() {
        let mut heartbeats = attached();
        answered(&mut heartbeats, 4);
        let sent: Vec<bool> = (0..4).map(|_| heartbeats.on_turn().is_some()).collect();
        assert_eq!(sent, [false, true, true, true]);
        heartbeats.on_answer(heartbeats.last() - 1);
        assert!(heartbeats.on_turn().is_some(), "an answer to an older one proves less");
        heartbeats.on_answer(heartbeats.last());
        assert!(heartbeats.on_turn().is_none());
    }

    #[test]
    fn a_worker_that_says_something_lets_no_turn_pass() {
        let mut heartbeats = attached();
        answered(&mut heartbeats, 4);
        for _ in 0..3 {
            heartbeats.on_spoken();
            assert!(answered(&mut heartbeats, 1)[0].is_some());
        }
        let sent: Vec<bool> = answered(&mut heartbeats, 3).iter().map(Option::is_some).collect();
        assert_eq!(sent, [false, true, false]);
    }
}
