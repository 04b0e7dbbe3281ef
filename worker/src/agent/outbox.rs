//! What waits to be sent, in order. Results that stand together leave in one frame.
//!
//! **Invariant:** a result that was there before an executor failed is sent before the failure: the leader would give a
//! finished task away otherwise.

use std::collections::VecDeque;

use flame_proto::ha;
use flame_proto::ha::worker_up::Frame;
use flame_types::{ExecutorKey, Token};

use super::held::{Held, cost};

/// Most results in one frame.
const RESULTS_PER_FRAME_MAX: usize = 1024;

/// No further result is added to a frame that has this many bytes: far below what a listener accepts, so that one frame
/// never holds up the others for long.
const FRAME_BYTES_GOAL: usize = 1 << 20;

/// Most things that may wait. A leader that lets more pile up while it sends us frames does not read: it is left.
pub(crate) const WAITING_MAX: usize = 1 << 16;

/// Something to be said.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    /// The result of this token, if it is still held then.
    Result(Token),
    /// The end of this executor, if it is still to be told then.
    End(ExecutorKey),
    /// This.
    Frame(Box<Frame>),
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    is_heartbeat_due: bool,
}

/// What to send next.
#[derive(Debug, PartialEq)]
pub(crate) enum Outgoing {
    /// A heartbeat; its number is the sender's business.
    Heartbeat,
    /// The end of an executor.
    End(ExecutorKey),
    /// This frame.
    Frame(Box<Frame>),
}

impl Outbox {
    pub(crate) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    pub(crate) fn push_frame(&mut self, frame: Frame) {
        self.push(Item::Frame(Box::new(frame)));
    }

    /// A heartbeat overtakes everything: a worker with much to say is not a silent one.
    pub(crate) fn push_heartbeat(&mut self) {
        self.is_heartbeat_due = true;
    }

    /// Forgets everything: what still matters is said again on the next stream.
    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.is_heartbeat_due = false;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && !self.is_heartbeat_due
    }

    /// Whether more waits than a leader that reads would leave.
    pub(crate) fn is_overfull(&self) -> bool {
        self.items.len() > WAITING_MAX
    }

    /// What to send next.
    pub(crate) fn pop(&mut self, held: &Held) -> Option<Outgoing> {
        if std::mem::take(&mut self.is_heartbeat_due) {
            return Some(Outgoing::Heartbeat);
        }
        loop {
            match self.items.pop_front()? {
                Item::End(executor) => return Some(Outgoing::End(executor)),
                Item::Frame(frame) => return Some(Outgoing::Frame(frame)),
                Item::Result(token) => {
                    let done = self.take_results(token, held);
                    if !done.is_empty() {
                        return Some(Outgoing::Frame(Box::new(Frame::Complete(ha::Complete { done }))));
                    }
                }
            }
        }
    }

    /// `first` and the results right behind it, as many as make a frame.
    fn take_results(&mut self, first: Token, held: &Held) -> Vec<ha::Completion> {
        let mut done = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(token) = next {
            if let Some(completion) = held.get(token) {
                bytes += cost(completion);
                done.push(completion.clone());
            }
            let has_room = done.len() < RESULTS_PER_FRAME_MAX && bytes < FRAME_BYTES_GOAL;
            next =
                self.items.pop_front_if(|item| has_room && matches!(item, Item::Result(_))).and_then(
                    |item| match item {
                        Item::Result(token) => Some(token),
                        Item::End(_) | Item::Frame(_) => None,
                    },
                );
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(tokens: std::ops::RangeInclusive<u64>, bytes: usize) -> Held {
        let mut held = Held::new(usize::MAX);
        for token in tokens {
            held.insert(ha::Completion { token, output: Some(vec![0; bytes].into()), ..ha::Completion::default() });
        }
        held
    }

    fn tokens(outgoing: Option<Outgoing>) -> Vec<u64> {
        match outgoing {
            Some(Outgoing::Frame(frame)) => match *frame {
                Frame::Complete(complete) => complete.done.iter().map(|done| done.token).collect(),
                other => panic!("results expected, not {other:?}"),
            },
            other => panic!("results expected, not {other:?}"),
        }
    }

    #[test]
    fn results_that_stand_together_leave_together_and_keep_their_place() {
        let held = held(1..=4, 1);
        let mut outbox = Outbox::default();
        for item in [
            Item::Result(Token(1)),
            Item::Result(Token(2)),
            Item::Result(Token(99)),
            Item::End(ExecutorKey(7)),
            Item::Result(Token(3)),
        ] {
            outbox.push(item);
        }
        assert_eq!(tokens(outbox.pop(&held)), [1, 2]);
        assert_eq!(outbox.pop(&held), Some(Outgoing::End(ExecutorKey(7))));
        outbox.push(Item::Result(Token(4)));
        outbox.push_heartbeat();
        assert_eq!(outbox.pop(&held), Some(Outgoing::Heartbeat));
        assert_eq!(tokens(outbox.pop(&held)), [3, 4]);
        assert_eq!(outbox.pop(&held), None);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_frame_is_bounded_in_number_and_in_bytes() {
        let small = held(1..=2000, 0);
        let mut outbox = Outbox::default();
        (1..=2000).for_each(|token| outbox.push(Item::Result(Token(token))));
        assert_eq!(tokens(outbox.pop(&small)).len(), RESULTS_PER_FRAME_MAX);
        assert_eq!(tokens(outbox.pop(&small)).len(), 2000 - RESULTS_PER_FRAME_MAX);

        let large = held(1..=4, FRAME_BYTES_GOAL);
        (1..=2).for_each(|token| outbox.push(Item::Result(Token(token))));
        assert_eq!(tokens(outbox.pop(&large)), [1]);
        assert_eq!(tokens(outbox.pop(&large)), [2]);
    }

    #[test]
    fn what_is_recorded_meanwhile_is_not_sent() {
        let mut held = held(1..=1, 1);
        let mut outbox = Outbox::default();
        outbox.push(Item::Result(Token(1)));
        held.remove(Token(1));
        assert_eq!(outbox.pop(&held), None);
    }
}
