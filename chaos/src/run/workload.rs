//! Which tasks a run submits.

use std::time::Duration;

use bytes::Bytes;
use flame_jepsen::Nonce;

use crate::service;

/// So many tasks, some of which take time.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How many.
    pub tasks: u64,
    /// Every so-manieth is slow; 0 for none.
    pub slow_every: u64,
    /// How long a slow one takes.
    pub slow: Duration,
}

/// One task before it is submitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Its mark.
    pub nonce: Nonce,
    /// Its input, which carries the mark.
    pub input: Bytes,
}

impl Workload {
    /// Its tasks, in the order of submission. The mark of each is made of the run's prefix and its number.
    pub fn items(self, prefix: &str) -> impl Iterator<Item = Item> + use<> {
        let prefix = prefix.to_owned();
        (1..=self.tasks).map(move |number| {
            let is_slow = self.slow_every != 0 && number.is_multiple_of(self.slow_every);
            Item::new(&prefix, number, if is_slow { self.slow } else { Duration::ZERO })
        })
    }
}

impl Item {
    /// A task that takes so long. Its mark is made of the run's prefix and its number.
    #[must_use]
    pub fn new(prefix: &str, number: u64, takes: Duration) -> Self {
        let nonce = format!("{prefix}-{number}");
        Self { input: service::input(&nonce, takes), nonce: Nonce::new(&nonce) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_tasks_are_spread_evenly_and_marks_are_unique() {
        let workload = Workload { tasks: 100, slow_every: 10, slow: Duration::from_secs(1) };
        let items: Vec<_> = workload.items("p").collect();
        let slow = |item: &Item| service::parse(&item.input).is_some_and(|(_, sleep)| sleep == Duration::from_secs(1));
        assert_eq!(items.iter().filter(|item| slow(item)).count(), 10);
        assert!(slow(&items[9]) && !slow(&items[8]));
        let marks: std::collections::BTreeSet<_> = items.iter().map(|item| &item.nonce).collect();
        assert_eq!(marks.len(), 100);
    }
}
