//! Joins what several wrote into one recording, by time.
//!
//! Clients, services and nodes may each write a file of their own, as long as they look at the same clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Event, Nanos};

/// All events in the order of their times; of equal times, those of the earlier part first.
///
/// Each part is a stream in the order of time itself, as whoever wrote it saw it. A part that goes back in time is passed on
/// as it is, so that the judge refuses it: nothing is put in order here that was not in order.
pub fn merge<I: Iterator<Item = Event>>(parts: Vec<I>) -> impl Iterator<Item = Event> {
    Merge::new(parts)
}

struct Merge<I> {
    parts: Vec<I>,
    /// The next event of each part that has one, and when it was.
    heads: Vec<Option<Event>>,
    order: BinaryHeap<Reverse<(Nanos, usize)>>,
}

impl<I: Iterator<Item = Event>> Merge<I> {
    fn new(parts: Vec<I>) -> Self {
        let heads = parts.iter().map(|_| None).collect();
        let mut merge = Self { parts, heads, order: BinaryHeap::new() };
        for part in 0..merge.parts.len() {
            merge.fill(part);
        }
        merge
    }

    fn fill(&mut self, part: usize) {
        self.heads[part] = self.parts[part].next();
        if let Some(event) = &self.heads[part] {
            self.order.push(Reverse((event.time, part)));
        }
    }
}

impl<I: Iterator<Item = Event>> Iterator for Merge<I> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let Reverse((_, part)) = self.order.pop()?;
        let event = self.heads[part].take();
        self.fill(part);
        event
    }
}
