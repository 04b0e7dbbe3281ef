//! What only a leader does.
//!
//! A new leader first logs `LeaderStart`. When that has been applied here, everything of earlier terms has been too, and
//! the configuration and the applications that ship with Flame are logged if they are not there; then the batcher, the
//! worker hub and the timers open for this term. They close the moment leadership goes.
//!
//! Then it plans: whenever apply says that demand or supply changed, or a deadline of the state has passed, a pure
//! function looks at the state and gives placements, which are proposed like anything else and checked again in apply.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flame_machine::command::Command;
use flame_machine::config::ClusterConfig;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_machine::schedule;
use flame_types::{Seq, Term, Token};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::batcher::stamp::tick_after;
use super::batcher::{BatcherHandle, OnDrop, Parcel};
use super::clients::{self, ClientLeases};
use super::hub::{Hub, Known};
use super::replies::{Replies, unnumbered};
use super::shortage::Shortage;
use super::upgrade::Upgrades;
use crate::builtins::{Builtin, installation};
use crate::consensus::Consensus;

/// Wait before the next look after one that found nothing to do: under load something changes with every entry.
const PLAN_PAUSE: Duration = Duration::from_millis(3);

/// A look holds apply up for as long as it takes: many sessions that wait make it long. The next one comes no earlier than
/// so many times as long after it, so that planning never takes more than a fifth of the apply thread.
const PLAN_REST: u32 = 4;

/// Leases are looked at when the next one runs out, and at least so often: an expiry that was lost is proposed again.
const LEASE_LOOK: Duration = Duration::from_secs(1);

/// When the leases are looked at later than planned by so much, this process stood still, or the log did: heartbeats
/// that came meanwhile may not be read yet.
const STALL_MIN: Duration = Duration::from_millis(500);

/// How often the next deadline is looked up while no plan is necessary.
const LOOK: Duration = Duration::from_millis(500);

/// Two ticks are never closer than this, whatever is due.
const TICK_MIN: Duration = Duration::from_millis(5);

/// How often a member is asked again that does not say which feature levels it understands.
const LEVEL_LOOK: Duration = Duration::from_secs(1);

/// Wait after a proposal that did not make it, and after a plan of which nothing was taken.
const PAUSE: Duration = Duration::from_millis(20);

/// The leader's wishes for the replicated configuration and the applications that ship with Flame.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Logged when it differs from the replicated one.
    pub config: ClusterConfig,
    /// Each registered once, where absent.
    pub builtins: Vec<Builtin>,
}

/// Runs the duties of a leader whenever this node leads.
pub struct Leader {
    /// Raft.
    pub consensus: Consensus,
    /// Packs proposals.
    pub batcher: BatcherHandle,
    /// The workers.
    pub hub: Hub,
    /// The clients with windows of their own.
    pub clients: ClientLeases,
    /// Who is short of disk.
    pub shortage: Shortage,
    /// Waits for replies.
    pub replies: Arc<Replies>,
    /// What this node would have the cluster configured as.
    pub defaults: Defaults,
    /// Raises the feature level.
    pub upgrades: Upgrades,
    /// Notified by apply when the planner should look again.
    pub dirty: Arc<Notify>,
    /// Notified by apply when there is something to do for the object directory.
    pub directory_dirty: Arc<Notify>,
}

/// This node has stopped, or leads no more.
pub(super) struct Over;

impl Leader {
    /// Follows leadership for as long as the node runs.
    pub async fn run(self) {
        let mut leadership = self.consensus.leadership();
        loop {
            let now = *leadership.borrow_and_update();
            if now.is_self {
                tokio::select! {
                    _over = self.lead(now.term) => {}
                    changed = leadership.wait_for(|later| !later.is_self || later.term != now.term) => {
                        if changed.is_err() {
                            return;
                        }
                    }
                }
                tracing::info!(term = %now.term, "this node leads no more");
                self.batcher.set_open(None);
                self.hub.close();
            } else if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    async fn lead(&self, term: Term) -> Result<(), Over> {
        // Time without a leader does not count.
        self.batcher.stamper().reset();
        let leader = self.consensus.status().id;
        self.propose_early(term, Command::LeaderStart { leader }).await?;
        // Before anybody's command: the first client of a cluster finds the applications that ship with it.
        self.configure(term).await?;
        let known = self.consensus.with_state(known_nodes).await.map_err(|_| Over)?;
        self.hub.open(term, known);
        self.clients.begin();
        self.shortage.begin(Instant::now());
        self.batcher.set_open(Some(term));
        tracing::info!(%term, "this node leads");
        tokio::select! {
            over = self.plan_for_ever() => over,
            over = self.watch_leases() => over,
            over = self.watch_clients() => over,
            over = self.watch_retention() => over,
            over = self.watch_directory() => over,
            over = self.watch_disks() => over,
            over = self.begin_level() => over,
        }
    }

    /// Proposes before the batcher is open, until it is in the log.
    async fn propose_early(&self, term: Term, command: Command) -> Result<(), Over> {
        loop {
            let (ticket, reply) = self.replies.ticket();
            let item = unnumbered(self.consensus.level(), ticket, command.clone());
            self.batcher.propose_alone(term, item, ticket).await;
            match reply.await {
                Ok(_) => return Ok(()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Brings the replicated configuration in line with this node's.
    async fn configure(&self, term: Term) -> Result<(), Over> {
        let (config, builtins) = self
            .consensus
            .with_state(|state| (state.cluster().config.clone(), state.cluster().builtins))
            .await
            .map_err(|_| Over)?;
        if config != self.defaults.config {
            self.propose_early(term, Command::SetConfig(Box::new(self.defaults.config.clone()))).await?;
        }
        if let Some(news) = installation(&self.defaults.builtins, builtins) {
            self.propose_early(term, news).await?;
        }
        Ok(())
    }

    /// A cluster that has agreed on no feature level yet begins at the highest that all its members understand.
    async fn begin_level(&self) -> Result<(), Over> {
        while self.consensus.with_state(|state| state.cluster().level).await.map_err(|_| Over)? == 0 {
            if let Err(why) = self.upgrades.raise(None, false).await {
                tracing::debug!(%why, "the cluster has no feature level yet");
                tokio::time::sleep(LEVEL_LOOK).await;
            }
        }
        #[cfg(feature = "next-level")]
        self.tell_of_next_level().await?;
        std::future::pending().await
    }

    /// Uses, once in every term, what the next level brings: as soon as that is allowed, and not before.
    #[cfg(feature = "next-level")]
    async fn tell_of_next_level(&self) -> Result<(), Over> {
        let command = Command::TestOnly { text: "the next feature level is in use".to_owned() };
        while self.consensus.level().admits(&command).is_err() {
            tokio::time::sleep(LEVEL_LOOK).await;
        }
        self.propose(command).await.map(drop)
    }

    async fn plan_for_ever(&self) -> Result<(), Over> {
        let mut behind = LeftBehind::default();
        loop {
            let look = |state: &flame_machine::State| {
                let begun = Instant::now();
                (schedule::plan(state), begun.elapsed() * PLAN_REST)
            };
            let (plan, rest) = self.consensus.with_state(look).await.map_err(|_| Over)?;
            if !plan.is_empty() {
                if !self.propose_all(plan).await {
                    tokio::time::sleep(PAUSE).await;
                }
                if rest > PLAN_PAUSE {
                    tokio::time::sleep(rest).await;
                }
                continue;
            }
            tokio::time::sleep(PLAN_PAUSE.max(rest)).await;
            self.tick_until_dirty(&mut behind).await?;
        }
    }

    /// Carries cluster time on while something waits for it. An entry that makes a new plan necessary says so, a tick
    /// like any other: time alone is no reason to look.
    async fn tick_until_dirty(&self, behind: &mut LeftBehind) -> Result<(), Over> {
        loop {
            let is_time = behind.is_time(Instant::now());
            let look = move |state: &flame_machine::State| {
                let due_in = state.next_deadline().map(|deadline| deadline.since(state.now()));
                (due_in, is_time.then(|| schedule::left_behind(state)))
            };
            let (due_in, found) = self.consensus.with_state(look).await.map_err(|_| Over)?;
            let tokens = found.map(|found| behind.found(found, Instant::now())).unwrap_or_default();
            if !tokens.is_empty() {
                // Dropped, they are found again.
                self.try_propose(Command::Recall { tokens }).await;
            }
            let owed = self.batcher.stamper().owed();
            let due = due_in.map(|ms| tick_after(ms).saturating_sub(owed).max(TICK_MIN));
            // An earlier deadline may come up without making a plan necessary: nobody tells.
            let pause = due.unwrap_or(LOOK).min(LOOK);
            tokio::select! {
                () = self.dirty.notified() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            if due.is_some_and(|due| due <= LOOK) {
                self.propose(Command::Tick).await?;
            }
        }
    }

    async fn watch_leases(&self) -> Result<(), Over> {
        let mut looked = Instant::now();
        loop {
            // A lease that begins meanwhile does not run out sooner.
            let next = self.hub.next_expiry().map_or(LEASE_LOOK, |next| next.duration_since(Instant::now()));
            let wait = next.clamp(PAUSE, LEASE_LOOK);
            tokio::time::sleep(wait).await;
            let late = looked.elapsed().saturating_sub(wait);
            looked = Instant::now();
            if late >= STALL_MIN {
                tracing::warn!(?late, "this leader stood still; the leases of all workers last longer by that");
                self.hub.extend_leases(late);
                continue;
            }
            if !self.hub.judges() {
                continue;
            }
            for command in self.hub.expired(Instant::now()) {
                match &command {
                    Command::ExpireNode { node, .. } => {
                        tracing::warn!(%node, "a worker's lease has run out; its tasks go elsewhere");
                    }
                    Command::CacheExpire { cache, .. } => {
                        tracing::warn!(%cache, "a cache node's lease has run out; what only it has is lost for now");
                    }
                    _ => {}
                }
                let settled = self.try_propose(command.clone()).await.is_some();
                self.hub.expiry_settled(&command, settled);
            }
        }
    }

    async fn watch_clients(&self) -> Result<(), Over> {
        loop {
            tokio::time::sleep(clients::CHECK_EVERY).await;
            let present = self.consensus.with_state(clients::present).await.map_err(|_| Over)?;
            for command in self.clients.expire(&present, Instant::now()) {
                // Dropped or refused, it is found again at the next look.
                self.try_propose(command).await;
            }
        }
    }

    /// Proposes until it is in the log.
    async fn propose(&self, command: Command) -> Result<Reply, Over> {
        loop {
            match self.try_propose(command.clone()).await {
                Some(reply) => return Ok(reply),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// `None` when it was dropped.
    pub(super) async fn try_propose(&self, command: Command) -> Option<Reply> {
        let (ticket, reply) = self.replies.ticket();
        self.submit(ticket, command).await;
        reply.await.ok()
    }

    /// Proposes a plan in one go; returns whether anything of it took effect.
    async fn propose_all(&self, plan: Vec<Command>) -> bool {
        let mut replies = Vec::with_capacity(plan.len());
        for command in plan {
            let (ticket, reply) = self.replies.ticket();
            replies.push((command.clone(), reply));
            self.submit(ticket, command).await;
        }
        let mut any = false;
        for (command, reply) in replies {
            any |= took_effect(&command, reply).await;
        }
        any
    }

    async fn submit(&self, ticket: Seq, command: Command) {
        let items = vec![unnumbered(self.consensus.level(), ticket, command)];
        let parcel = Parcel { items, on_drop: OnDrop::Ticket(ticket) };
        if self.batcher.submit(parcel).await.is_err() {
            self.replies.give_up(ticket);
        }
    }
}

/// Tasks that wait behind others although executors stand idle, as they were found last. Very short ones do so by
/// intention, for a moment; the same one twice, a whole [`LOOK`] apart, is behind one that is not short at all.
#[derive(Default)]
struct LeftBehind {
    tokens: BTreeSet<Token>,
    at: Option<Instant>,
}

impl LeftBehind {
    fn is_time(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.duration_since(at) >= LOOK)
    }

    /// Takes in what was found now. Returns what is to be asked back.
    fn found(&mut self, tokens: Vec<Token>, now: Instant) -> Vec<Token> {
        let again = tokens.iter().copied().filter(|token| self.tokens.contains(token)).collect();
        (self.tokens, self.at) = (tokens.into_iter().collect(), Some(now));
        again
    }
}

async fn took_effect(command: &Command, reply: oneshot::Receiver<Reply>) -> bool {
    match reply.await {
        Ok(Reply::Refused(Refusal::StalePlan(why))) => {
            tracing::debug!(?command, why, "a placement was out of date");
            false
        }
        Ok(Reply::Refused(refusal)) => {
            tracing::warn!(?command, %refusal, "a placement was refused");
            false
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

fn known_nodes(state: &flame_machine::State) -> Known {
    let workers = state.nodes().values().filter(|node| node.row.expired.is_none());
    let caches = state.directory().caches().values().filter(|cache| cache.is_live());
    Known {
        workers: workers.map(|node| (node.row.name.clone(), node.row.epoch)).collect(),
        caches: caches.map(|cache| (cache.row.name.clone(), cache.row.epoch)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_found_twice_in_a_row_is_asked_back() {
        let (mut behind, now) = (LeftBehind::default(), Instant::now());
        assert!(behind.is_time(now));
        assert_eq!(behind.found(vec![Token(1), Token(2)], now), []);
        assert!(!behind.is_time(now + LOOK / 2) && behind.is_time(now + LOOK));
        assert_eq!(behind.found(vec![Token(2), Token(3)], now + LOOK), [Token(2)]);
        assert_eq!(behind.found(Vec::new(), now + 2 * LOOK), []);
        assert_eq!(behind.found(vec![Token(3)], now + 3 * LOOK), []);
    }
}
