//! Nodes of the object cache: attached to the leader as workers are, with leases of the same kind.
//!
//! * `attach`: the Hello of a cache node.
//! * `reports`: what it says, turned into commands and answered when they are applied.
//! * `downlink`: what it is told, turned into frames.
//! * `wire`: messages into words and back.
//!
//! **Invariant:** pages and reports of one node are proposed in the order in which they came, and answered in it.

use std::collections::{BTreeMap, HashMap};

use flame_machine::command::{Command, LeaseEnd};
use flame_machine::copies::Copying;
use flame_machine::effect::{CacheEffect, CacheOrder};
use flame_machine::reply::Reply;
use flame_types::{Epoch, NodeName, Seq};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::leases::{Leases, Way};

mod attach;
mod downlink;
mod reports;
mod wire;

/// Cache nodes on this leader.
#[derive(Default)]
pub(super) struct Table {
    /// Hellos that are proposed and not applied.
    greeting: HashMap<Seq, Greeting>,
    pub(super) leases: Leases<Line>,
}

struct Greeting {
    cache: NodeName,
    line: Line,
}

/// The way to one attached cache node.
#[derive(Clone)]
pub(super) struct Line {
    told: mpsc::Sender<Told>,
    end: CancellationToken,
}

/// What one node is told at a time, under one lease.
struct Told {
    epoch: Epoch,
    orders: Vec<CacheOrder>,
    fetch: Vec<Copying>,
}

impl Way for Line {
    fn close(&self) {
        self.end.cancel();
    }

    fn detach(cache: NodeName, epoch: Epoch) -> Command {
        Command::CacheDetach { cache, epoch }
    }

    fn expire(cache: NodeName, epoch: Epoch, end: LeaseEnd) -> Command {
        Command::CacheExpire { cache, epoch, end }
    }
}

impl Line {
    fn send(&self, cache: &NodeName, told: Told) {
        if self.told.try_send(told).is_err() {
            tracing::warn!(cache = %cache, "the cache node does not take its orders; its stream is ended");
            self.end.cancel();
        }
    }
}

impl Table {
    /// The nodes of the state, all of them detached.
    pub(super) fn begin(&mut self, known: Vec<(NodeName, Epoch)>) {
        self.greeting.clear();
        self.leases = Leases::begin(known);
    }

    /// A command without a client was applied. Perhaps it was a Hello.
    pub(super) fn on_reply(&mut self, ticket: Seq, reply: &Reply) {
        if let Some(greeting) = self.greeting.remove(&ticket)
            && let Reply::Attached { epoch } = reply
        {
            self.leases.attach(greeting.cache, *epoch, greeting.line);
        }
    }
}

impl Hub {
    /// Hands orders to the streams of cache nodes.
    pub(super) fn on_cache_effects(&self, table: &mut super::Table, effects: &[CacheEffect]) {
        let mut batches: BTreeMap<&NodeName, Told> = BTreeMap::new();
        for CacheEffect { cache, epoch, order } in effects {
            let leases = &mut table.caches.leases;
            if matches!(order, CacheOrder::Welcome { .. }) && leases.unclaimed(cache, *epoch) {
                self.propose_later(Command::CacheDetach { cache: cache.clone(), epoch: *epoch });
            }
            if leases.is_attached(cache, *epoch) {
                let told = || Told { epoch: *epoch, orders: Vec::new(), fetch: Vec::new() };
                batches.entry(cache).or_insert_with(told).orders.push(order.clone());
            }
        }
        for (cache, told) in batches {
            if let Some(line) = table.caches.leases.way(cache) {
                line.send(cache, told);
            }
        }
    }

    /// Orders cache nodes to fetch what they should have.
    pub fn order_copies(&self, copies: Vec<Copying>) {
        let mut batches: BTreeMap<(NodeName, Epoch), Vec<Copying>> = BTreeMap::new();
        for copying in copies {
            batches.entry((copying.cache.clone(), copying.epoch)).or_default().push(copying);
        }
        let mut table = self.table();
        let leases = &mut table.caches.leases;
        for ((cache, epoch), fetch) in batches {
            if leases.is_attached(&cache, epoch)
                && let Some(line) = leases.way(&cache)
            {
                line.send(&cache, Told { epoch, orders: Vec::new(), fetch });
            }
        }
    }

    /// A heartbeat of a cache node came, as [`Hub::renew`].
    fn renew_cache(&self, cache: &NodeName, epoch: Epoch) -> Result<bool, String> {
        self.check_majority()?;
        Ok(self.table().caches.leases.renew(cache, epoch))
    }
}
