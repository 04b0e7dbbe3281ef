//! What the leader does for the object directory: entries of deleted objects leave in pieces, and what lies with fewer nodes
//! than it should is fetched by others.
//!
//! Nothing of it is kept but in memory: what is missing is found again by looking. Objects written lately are looked at as
//! soon as apply says so, all others of which several copies are wanted in turn: a node that is away leaves no trace in
//! their entries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::copies::{self, Copying};
use flame_types::{NodeName, ObjectKey, ObjectVersion};
use tokio::time::Instant;

use super::leader::{Leader, Over};

/// Objects that one look takes in, of either kind: apply waits meanwhile.
const OBJECTS_PER_LOOK: usize = 256;

/// Most objects that one node is to fetch at a time.
const FETCHES_MAX: usize = 64;

/// An order of which nothing was heard is given again after this time, perhaps to another node.
const FETCH_PATIENCE: Duration = Duration::from_secs(30);

/// Wait before the next look while something is under way.
const PACE: Duration = Duration::from_millis(50);

/// Wait before all is looked at again, unless apply says something.
const REST: Duration = Duration::from_secs(2);

/// Wait before the next piece of a deletion.
const SWEEP_PACE: Duration = Duration::from_millis(5);

/// What nodes were ordered to fetch and have not reported yet.
#[derive(Default)]
struct Ordered {
    orders: BTreeMap<Order, (Copying, Instant)>,
}

type Order = (NodeName, ObjectKey, ObjectVersion);

fn order(copying: &Copying) -> Order {
    (copying.cache.clone(), copying.key.clone(), copying.version)
}

impl Ordered {
    /// Those that are under way.
    fn under_way(&self) -> Vec<Copying> {
        self.orders.values().map(|(copying, _)| copying.clone()).collect()
    }

    /// Forgets those that are done, and those that took too long. Gives those that are new and for which there is room.
    fn take(&mut self, still: Vec<Copying>, missing: Vec<Copying>, now: Instant) -> Vec<Copying> {
        let still: Vec<Order> = still.iter().map(order).collect();
        self.orders.retain(|order, (_, at)| now.duration_since(*at) < FETCH_PATIENCE && still.contains(order));
        let mut busy: BTreeMap<NodeName, usize> = BTreeMap::new();
        // Which node is the best one changes with every copy: whatever is under way is left to those who have begun.
        let mut begun = BTreeSet::new();
        for (cache, key, version) in self.orders.keys() {
            *busy.entry(cache.clone()).or_default() += 1;
            begun.insert((key.clone(), *version));
        }
        let mut new = Vec::new();
        for copying in missing {
            let busy = busy.entry(copying.cache.clone()).or_default();
            let order = order(&copying);
            let is_begun = begun.contains(&(copying.key.clone(), copying.version));
            if *busy < FETCHES_MAX && !is_begun && !self.orders.contains_key(&order) {
                *busy += 1;
                self.orders.insert(order, (copying.clone(), now));
                new.push(copying);
            }
        }
        new
    }
}

/// What a look has found.
struct Look {
    doomed: bool,
    still: Vec<Copying>,
    missing: Vec<Copying>,
    /// Where the next look begins; `None` after the last object.
    next: Option<ObjectKey>,
}

fn look(state: &State, under_way: Vec<Copying>, after: Option<&ObjectKey>) -> Look {
    let mut missing = copies::fresh(state, OBJECTS_PER_LOOK);
    let (others, next) = copies::page(state, after, OBJECTS_PER_LOOK);
    missing.extend(others);
    let still = under_way.into_iter().filter(|copying| copies::is_missing(state, copying)).collect();
    Look { doomed: !state.directory().doomed().is_empty(), still, missing, next }
}

impl Leader {
    /// Looks after the object directory, for as long as this node leads.
    pub(super) async fn watch_directory(&self) -> Result<(), Over> {
        let mut ordered = Ordered::default();
        let mut after: Option<ObjectKey> = None;
        loop {
            let (under_way, from) = (ordered.under_way(), after.take());
            let look = move |state: &State| look(state, under_way, from.as_ref());
            let found = self.consensus.with_state(look).await.map_err(|_| Over)?;
            if found.doomed {
                // Dropped, it is proposed again after the next look.
                self.try_propose(Command::ObjectsSweep).await;
            }
            let new = ordered.take(found.still, found.missing, Instant::now());
            if !new.is_empty() {
                tracing::debug!(objects = new.len(), "cache nodes are to fetch copies");
                self.hub.order_copies(new);
            }
            after = found.next;
            if found.doomed {
                tokio::time::sleep(SWEEP_PACE).await;
            } else if after.is_some() || !ordered.orders.is_empty() {
                tokio::time::sleep(PACE).await;
            } else {
                tokio::select! {
                    () = self.directory_dirty.notified() => {}
                    () = tokio::time::sleep(REST) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_types::Epoch;

    use super::*;

    fn copying(cache: &str, at: usize) -> Copying {
        Copying {
            cache: NodeName::parse(cache).unwrap(),
            epoch: Epoch(1),
            key: ObjectKey::parse(&format!("app/shared/o{at}")).unwrap(),
            version: ObjectVersion(1),
            size: 1,
            from: vec!["grpc://c9:9090".into()],
        }
    }

    #[test]
    fn an_order_is_given_once_and_again_when_nothing_is_heard_of_it() {
        let (mut ordered, now) = (Ordered::default(), Instant::now());
        let wanted = || vec![copying("c1", 1)];
        assert_eq!(ordered.take(Vec::new(), wanted(), now), wanted());
        assert_eq!(ordered.take(wanted(), wanted(), now), []);
        assert_eq!(ordered.take(wanted(), wanted(), now + FETCH_PATIENCE), wanted());
        assert_eq!(ordered.take(Vec::new(), Vec::new(), now + FETCH_PATIENCE), []);
        assert!(ordered.orders.is_empty(), "it is done");
    }

    #[test]
    fn what_one_node_has_begun_is_not_begun_by_another() {
        let (mut ordered, now) = (Ordered::default(), Instant::now());
        let both = vec![copying("c1", 1), copying("c2", 1)];
        assert_eq!(ordered.take(Vec::new(), both.clone(), now), both, "two copies are missing");
        assert_eq!(ordered.take(both.clone(), vec![copying("c3", 1)], now), []);
        assert_eq!(ordered.take(vec![copying("c1", 1)], vec![copying("c3", 1)], now), []);
        assert_eq!(ordered.take(Vec::new(), vec![copying("c3", 1)], now), [copying("c3", 1)]);
    }

    #[test]
    fn one_node_has_only_so_many_at_a_time() {
        let (mut ordered, now) = (Ordered::default(), Instant::now());
        let many: Vec<Copying> = (0..FETCHES_MAX + 10).map(|at| copying("c1", at)).collect();
        let mut missing = many.clone();
        missing.push(copying("c2", 0));
        let first = ordered.take(Vec::new(), missing.clone(), now);
        assert_eq!(first.len(), FETCHES_MAX + 1, "the other node has room");
        let still = ordered.under_way().into_iter().filter(|copying| copying.key.object() != "o0").collect();
        let second = ordered.take(still, missing.split_off(FETCHES_MAX), now);
        assert_eq!(second.len(), 1 + 1, "one place is free here, and one there");
    }
}
