//! The worker hub: the streams of attached workers and cache nodes, and their leases. It is open on the leader only, for
//! one term at a time.
//!
//! * [`attach`]: the Hello of a worker, and the answer to one that came to the wrong node.
//! * [`news`]: who leads, for workers of other leaders: the only part that is open on every node.
//! * [`uplink`]: what a worker reports, turned into commands.
//! * [`downlink`]: what the machine tells a worker, turned into frames.
//! * `given_out`: a task that goes to its worker before its entry.
//! * [`inputs`]: inputs on their way to workers.
//! * [`questions`]: what users want to know of a worker itself.
//! * `told`: when they go there.
//! * `caches`: cache nodes, in the same way.
//! * [`leases`]: who is attached, who is silent, who has expired.
//!
//! Effects reach the hub from apply, in apply order, and are dropped here unless the worker is attached under the very
//! lease they were decided for: the Hello that opens the next lease derives them again.
//!
//! **Invariant:** a worker's lease ends by the log only: the hub proposes, apply decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flame_machine::command::Command;
use flame_machine::effect::{Effect, Order};
use flame_machine::reply::Reply;
use flame_storage::MemberNode;
use flame_types::{ClientId, CoordinatorId, Epoch, NodeName, Seq, Term};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batcher::{BatcherHandle, OnDrop, Parcel};
use super::replies::{NOBODY_WAITS, Replies, unnumbered};
use crate::consensus::{AppliedEntry, Consensus};
use crate::memory::{Memory, Share};

pub mod attach;
mod caches;
mod downlink;
mod given_out;
mod inputs;
pub mod leases;
pub mod news;
pub mod questions;
mod told;
mod uplink;

pub use given_out::WayAhead;
use given_out::{GivenOut, KnownInput};
use inputs::InputRows;
use leases::{Leases, MAJORITY_MAX};
use questions::Questions;
use told::{Line, RECORDED_HELD};

/// Most batches of orders that wait for one worker's connection. A worker that cannot take more is cut off; its next
/// Hello gets everything again.
pub const ORDER_BATCHES_MAX: usize = 1024;

/// Handle to the hub of this node; cheap to clone.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    cluster_id: String,
    /// How the listeners for workers are spoken to: `http` or `https`.
    scheme: &'static str,
    consensus: Consensus,
    batcher: BatcherHandle,
    replies: Arc<Replies>,
    table: Mutex<Table>,
    inputs: InputRows,
}

#[derive(Default)]
struct Table {
    /// Hellos that are proposed and not applied.
    greeting: HashMap<Seq, Greeting>,
    leases: Leases<Line>,
    caches: caches::Table,
    open: Option<Open>,
    /// The task whose entry is still to come.
    given_out: Option<GivenOut>,
    /// Workers will be told soon of what is recorded.
    tells_recorded: bool,
    questions: Questions,
}

/// Whom the state knows to have a lease.
#[derive(Default)]
pub struct Known {
    /// Workers.
    pub workers: Vec<(NodeName, Epoch)>,
    /// Cache nodes.
    pub caches: Vec<(NodeName, Epoch)>,
}

/// The hub is open.
struct Open {
    /// The term in which this node leads.
    term: Term,
    /// Cancelled when the hub closes: ends all streams.
    end: CancellationToken,
}

struct Greeting {
    node: NodeName,
    stream: WorkerStream,
}

/// The way to one attached worker.
#[derive(Clone)]
struct WorkerStream {
    orders: mpsc::Sender<Batch>,
    end: CancellationToken,
    /// For frames that no entry brings about. The stream does not live for their sake.
    frames: attach::WeakDown,
}

/// Orders of one entry for one worker, under one lease.
struct Batch {
    epoch: Epoch,
    orders: Vec<Order>,
    /// The input of a task that no row has yet.
    input: Option<KnownInput>,
}

impl Batch {
    fn of(epoch: Epoch, orders: Vec<Order>) -> Self {
        Self { epoch, orders, input: None }
    }
}

impl Hub {
    /// A closed hub.
    #[must_use]
    pub fn new(
        cluster_id: String,
        scheme: &'static str,
        consensus: Consensus,
        batcher: BatcherHandle,
        replies: Arc<Replies>,
        memory: Memory,
    ) -> Self {
        let (table, inputs) = (Mutex::default(), InputRows::new(memory.share(Share::Inputs)));
        Self { inner: Arc::new(Inner { cluster_id, scheme, consensus, batcher, replies, table, inputs }) }
    }

    /// Opens the hub: this node leads in this term. `known` are those of the state, all of them detached by `LeaderStart`;
    /// each has a full period to say Hello.
    pub fn open(&self, term: Term, known: Known) {
        let mut table = self.table();
        table.leases = Leases::begin(known.workers);
        table.caches.begin(known.caches);
        table.given_out = None;
        table.open = Some(Open { term, end: CancellationToken::new() });
    }

    /// Closes the hub and ends all streams: this node leads no more.
    pub fn close(&self) {
        let mut table = self.table();
        if let Some(open) = table.open.take() {
            open.end.cancel();
        }
        table.greeting.clear();
        table.given_out = None;
        table.leases = Leases::default();
        table.questions = Questions::default();
        table.caches = caches::Table::default();
        self.inner.inputs.clear();
    }

    /// Number of workers attached here.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.table().leases.attached()
    }

    /// Bytes of inputs that are kept for the workers.
    #[must_use]
    pub fn input_bytes(&self) -> usize {
        self.inner.inputs.bytes()
    }

    /// Proposals for the leases that have run out; each lease is proposed once.
    #[must_use]
    pub fn expired(&self, now: Instant) -> Vec<Command> {
        let mut table = self.table();
        let mut expired = table.leases.expire(now);
        expired.extend(table.caches.leases.expire(now));
        expired
    }

    /// Whether a majority answers this leader. While none does it can neither renew leases nor let them run out, and when
    /// one does again everybody has a full period.
    #[must_use]
    pub fn judges(&self) -> bool {
        let has_majority = self.inner.consensus.has_majority_within(MAJORITY_MAX);
        if !has_majority {
            let mut table = self.table();
            table.leases.begin_again();
            table.caches.leases.begin_again();
        }
        has_majority
    }

    /// This node stood still for so long: the leases last longer by that.
    pub fn extend_leases(&self, stood_still: Duration) {
        let mut table = self.table();
        table.leases.extend(stood_still);
        table.caches.leases.extend(stood_still);
    }

    /// A heartbeat came. The error says why it renews nothing and the worker is to look for another leader.
    fn renew(&self, node: &NodeName, epoch: Epoch) -> Result<bool, String> {
        self.check_majority()?;
        Ok(self.table().leases.renew(node, epoch))
    }

    fn check_majority(&self) -> Result<(), String> {
        match self.inner.consensus.has_majority_within(MAJORITY_MAX) {
            true => Ok(()),
            false => Err(format!("no majority has answered this leader for {MAJORITY_MAX:?}")),
        }
    }

    /// When the next lease runs out, unless it is renewed before.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        let table = self.table();
        table.leases.next_expiry().into_iter().chain(table.caches.leases.next_expiry()).min()
    }

    /// The expiry of a lease was applied or refused; or it did not make it into the log, and is proposed again.
    pub fn expiry_settled(&self, expiry: &Command, settled: bool) {
        let mut table = self.table();
        match expiry {
            Command::ExpireNode { node, epoch, .. } => table.leases.expiry_settled(node, *epoch, settled),
            Command::CacheExpire { cache, epoch, .. } => table.caches.leases.expiry_settled(cache, *epoch, settled),
            _ => {}
        }
    }

    /// What one applied entry means for workers and cache nodes. Called by apply, in order; never waits.
    pub(super) fn on_entry(&self, entry: &AppliedEntry) {
        let mut table = self.table();
        if table.open.is_none() {
            return;
        }
        for (client, ticket, reply) in &entry.replies {
            if *client != ClientId::NONE {
                continue;
            }
            if let Some(greeting) = table.greeting.remove(ticket)
                && let Reply::Attached { epoch } = reply
            {
                table.leases.attach(greeting.node, *epoch, Line::new(greeting.stream));
            }
            table.caches.on_reply(*ticket, reply);
        }
        self.on_effects(&mut table, &entry.effects);
        table.take_back(&entry.replies);
        self.on_cache_effects(&mut table, &entry.cache_effects);
    }

    fn on_effects(&self, table: &mut Table, effects: &[Effect]) {
        let mut batches: BTreeMap<&NodeName, Batch> = BTreeMap::new();
        for effect in effects {
            if matches!(effect.order, Order::Welcome { .. }) && table.leases.unclaimed(&effect.node, effect.epoch) {
                self.propose_later(Command::Detach { node: effect.node.clone(), epoch: effect.epoch });
            }
            let is_told = table.given_out.take_if(|given_out| given_out.is_made_by(effect)).is_some();
            if is_told || !table.leases.is_attached(&effect.node, effect.epoch) {
                continue;
            }
            let batch = batches.entry(&effect.node).or_insert_with(|| Batch::of(effect.epoch, Vec::new()));
            batch.orders.push(effect.order.clone());
        }
        let mut is_held = false;
        for (node, batch) in batches {
            is_held |= table.leases.send(node, batch);
        }
        if is_held && !std::mem::replace(&mut table.tells_recorded, true) {
            let hub = self.clone();
            self.inner.consensus.runtime().spawn(async move {
                tokio::time::sleep(RECORDED_HELD).await;
                let mut table = hub.table();
                table.tells_recorded = false;
                table.leases.tell_recorded();
            });
        }
    }

    /// Logs that a worker or a cache node has no stream. Apply must not wait for it.
    fn propose_later(&self, command: Command) {
        let batcher = self.inner.batcher.clone();
        let items = vec![unnumbered(self.inner.consensus.level(), NOBODY_WAITS, command)];
        self.inner.consensus.runtime().spawn(async move {
            // Not taken: this node leads no more, and the next leader detaches everybody.
            let _ = batcher.submit(Parcel { items, on_drop: OnDrop::Ticket(NOBODY_WAITS) }).await;
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().expect("no code panics while it holds this lock")
    }

    /// The term in which this node leads; none once it does not, which ends all streams.
    fn term(&self) -> Option<Term> {
        self.table().open.as_ref().map(|open| open.term)
    }

    /// `http://host:port`, or `https`, of all coordinators' worker listeners.
    fn worker_endpoints(&self) -> Vec<String> {
        let url = |node: MemberNode| format!("{}://{}", self.inner.scheme, node.worker);
        self.inner.consensus.members().into_iter().map(|(_, node, _)| url(node)).collect()
    }

    /// The same of their client listeners.
    fn client_endpoints(&self) -> Vec<String> {
        let url = |node: MemberNode| format!("{}://{}", self.inner.scheme, node.client);
        self.inner.consensus.members().into_iter().map(|(_, node, _)| url(node)).collect()
    }

    /// The leader's worker endpoint; empty when nobody is known to lead.
    fn leader_endpoint(&self) -> String {
        let leader = self.inner.consensus.leadership().borrow().leader;
        leader.and_then(|leader| self.worker_endpoint(leader)).unwrap_or_default()
    }

    fn worker_endpoint(&self, id: CoordinatorId) -> Option<String> {
        let mut members = self.inner.consensus.members().into_iter();
        members
            .find(|(member, ..)| *member == id)
            .map(|(_, node, _)| format!("{}://{}", self.inner.scheme, node.worker))
    }
}
