//! The way of a batch: time advances, what became due happens, the commands take effect one after the other, and the
//! rows of everything touched are written.

use std::collections::{BTreeSet, VecDeque};

use flame_types::{ClientId, ExecutorKey, LogIndex, NodeName, Seq, SessionKey, TaskNo, TaskState, Term, Token, WallMs};

use super::ahead::GivenOut;
use super::changes::Changes;
use super::hand_over::Chance;
use crate::command::{Batch, Command};
use crate::effect::{CacheEffect, Effect, Order};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::row::{RowChange, RowSink};
use crate::state::State;

/// Where the entry stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ctx {
    /// Its index.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
}

/// What an entry did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One reply per command, in order.
    pub replies: Vec<(ClientId, Seq, Reply)>,
    /// Facts for watchers, in order.
    pub events: Vec<Event>,
    /// Requests to workers, in order.
    pub effects: Vec<Effect>,
    /// Requests to cache nodes, in order.
    pub cache_effects: Vec<CacheEffect>,
    /// Changes of rows, in order, unless they were given elsewhere ([`State::apply_to`]).
    pub rows: Vec<RowChange>,
    /// Demand, capacity or executors changed: the planner should run again.
    pub placement_dirty: bool,
    /// Objects lack copies, or entries of deleted ones are left: the leader should look at the directory.
    pub directory_dirty: bool,
}

/// A batch on its way through the state.
pub(crate) struct Apply<'s> {
    pub state: &'s mut State,
    pub ctx: Ctx,
    /// The wall time that is shown for what happens now.
    pub wall: WallMs,
    pub changes: Changes,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    pub cache_effects: Vec<CacheEffect>,
    pub placement_dirty: bool,
    pub directory_dirty: bool,
    /// Sessions to be given out from, and to be indexed, after this command.
    pub touched: BTreeSet<SessionKey>,
    /// What may have made it possible that an executor changes its session.
    pub chances: VecDeque<Chance>,
    /// What workers can give has changed: every session that wants something is to be indexed.
    pub capacity_changed: bool,
    /// Whether the entry holds exactly one command.
    pub alone: bool,
    /// The token that the leader has given out before this entry, and that nothing else in it gets.
    pub reserved: Option<Token>,
    /// The task of the present command that is given out already.
    pub given_out: Option<GivenOut>,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Reply, Refusal>;

impl State {
    /// Applies one entry. The same entry on the same state does the same everywhere.
    ///
    /// # Panics
    /// When an invariant of the state is broken, or the entry needs a higher feature level than this build has: a
    /// replica stops rather than diverges.
    pub fn apply(&mut self, ctx: Ctx, batch: Batch) -> Applied {
        let mut rows = Vec::new();
        let applied = self.apply_to(ctx, batch, &mut rows);
        Applied { rows, ..applied }
    }

    /// The same for whoever takes the changes of rows as they come: there may be many, and each is gone as soon as it is
    /// written elsewhere.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn apply_to(&mut self, ctx: Ctx, batch: Batch, rows: &mut dyn RowSink) -> Applied {
        let mut apply = Apply {
            wall: self.cluster.wall.max(batch.wall_ms),
            state: self,
            ctx,
            changes: Changes::default(),
            events: Vec::new(),
            effects: Vec::new(),
            cache_effects: Vec::new(),
            placement_dirty: false,
            directory_dirty: false,
            touched: BTreeSet::new(),
            chances: VecDeque::new(),
            capacity_changed: false,
            alone: batch.items.len() == 1,
            reserved: None,
            given_out: None,
        };
        apply.reserve(batch.items.first());
        apply.advance_time(batch.cluster_delta_ms);
        let mut replies = Vec::with_capacity(batch.items.len());
        for item in batch.items {
            let (client, seq) = (item.client, item.seq);
            let reply = apply.item(item);
            apply.settle();
            apply.given_out = None;
            replies.push((client, seq, reply));
        }
        let Apply { state, changes, events, effects, cache_effects, placement_dirty, directory_dirty, .. } = apply;
        changes.write(state, ctx.index, rows);
        Applied { replies, events, effects, cache_effects, rows: Vec::new(), placement_dirty, directory_dirty }
    }
}

impl Apply<'_> {
    /// Executes a command that is certain to be new.
    pub fn execute(&mut self, command: Command) -> Outcome {
        let (needed, present) = (command.level(), self.state.level());
        if needed > present {
            let why = format!("the command needs level {needed}, and the cluster runs at level {present}");
            return Err(Refusal::FeatureLevel(why));
        }
        match command {
            Command::Register { name, spec } => self.register(name, *spec),
            Command::Update { name, spec } => self.update(&name, *spec),
            Command::Unregister { name } => self.unregister(&name),
            Command::InstallBuiltins { version, apps } => self.install_builtins(version, apps),
            Command::Create { id, spec } => self.create(id, *spec),
            Command::Open { id, spec } => self.open(id, spec.map(|spec| *spec)),
            Command::Close { id, force } => self.close(&id, force),
            Command::Suspend { id } => self.suspend(&id),
            Command::Resume { id } => self.resume(&id),
            Command::Delete { id } => self.delete(&id),
            Command::Expire { sessions } => self.expire(&sessions),
            Command::Submit(submit) => self.submit(*submit),
            Command::Lone { submit, ahead } => self.lone(*submit, ahead),
            Command::Cancel { session, task } => self.cancel(&session, task),
            Command::Hello(hello) => self.hello(*hello),
            Command::Complete { node, done } => self.complete(&node, done),
            Command::Return { node, epoch, tokens } => self.give_back(&node, epoch, &tokens),
            Command::Started { node, epoch, tokens } => self.started(&node, epoch, &tokens),
            Command::ExecutorReady { node, epoch, executor, session, attributes } => {
                self.executor_ready(&node, epoch, executor, session, &attributes)
            }
            Command::ExecutorFailed { node, epoch, executor, started, cause } => {
                self.executor_failed(&node, epoch, executor, &started, cause)
            }
            Command::ExecutorLeft { node, epoch, executor } => self.executor_left(&node, epoch, executor),
            Command::Cordon { node, on } => self.cordon(&node, on),
            Command::Drain { node } => self.drain(&node),
            Command::Once { request, seen, command } => self.once(request, seen, *command),
            other => self.execute_objects(other),
        }
    }

    fn execute_objects(&mut self, command: Command) -> Outcome {
        match command {
            Command::CacheHello(hello) => self.cache_hello(*hello),
            Command::CacheDetach { cache, epoch } => self.detach_cache(&cache, epoch),
            Command::CacheExpire { cache, epoch, end } => self.expire_cache(&cache, epoch, end),
            Command::ObjectsChanged(report) => self.objects_changed(*report),
            Command::ObjectsDelete { target } => self.delete_objects(target),
            Command::ObjectsSweep => self.sweep_objects(),
            Command::CacheRemove { cache } => self.remove_cache(&cache),
            other => self.execute_upkeep(other),
        }
    }

    fn execute_upkeep(&mut self, command: Command) -> Outcome {
        match command {
            Command::LeaderStart { leader } => self.leader_start(leader),
            Command::Detach { node, epoch } => self.detach(&node, epoch),
            Command::ExpireNode { node, epoch, end } => self.expire_node(&node, epoch, end),
            Command::Place { node, session, resources, have, count, reuse } => {
                self.place(&super::leader::Placement { node, session, resources, have, count, reuse })
            }
            Command::Release { executor, epoch } => self.release(executor, epoch),
            Command::Recall { tokens } => self.recall(&tokens),
            Command::Waiting { session, reason } => self.waiting(session, reason),
            Command::RegisterClient { nonce, gateway } => self.register_client(nonce, gateway),
            Command::EndClient { client } => self.end_client(client),
            Command::ExpireClient { client, last } => self.expire_client(client, last),
            Command::SetConfig(config) => self.set_config(*config),
            Command::SetFeatureLevel { level } => self.set_feature_level(level),
            Command::NewGeneration { nonce } => self.new_generation(nonce),
            Command::Trim(trim) => self.trim(&trim),
            Command::DiskShort { on } => self.disk_short(on),
            #[cfg(feature = "next-level")]
            Command::TestOnly { text } => self.test_only(text),
            Command::Tick | Command::Void => Ok(Reply::Done),
            other => unreachable!("{other:?} is executed by its group"),
        }
    }

    /// Gives out tasks and indexes every session that the last step touched; then idle executors go to sessions that wait.
    pub fn settle(&mut self) {
        loop {
            while let Some(key) = self.touched.pop_first() {
                self.dispatch(key);
                self.settle_session(key);
            }
            // What every session has and wants is known by now.
            let Some(chance) = self.chances.pop_front() else { break };
            self.take_chance(chance);
        }
        if std::mem::take(&mut self.capacity_changed) {
            let active: Vec<SessionKey> = self.state.active.iter().copied().collect();
            for key in active {
                self.state.index_session(key);
            }
        }
    }

    /// A task has a new state.
    pub fn task_event(&mut self, session: SessionKey, task: TaskNo, state: TaskState, attempt: u32) {
        self.events.push(Event::Task { session, task, state, attempt });
    }

    /// Tells a worker something, under its present lease.
    pub fn order(&mut self, node: &NodeName, order: Order) {
        if let Some(found) = self.state.nodes.get(node) {
            self.effects.push(Effect { node: node.clone(), epoch: found.row.epoch, order });
        }
    }

    /// Marks an executor as changed and indexes it.
    pub fn executor_changed(&mut self, key: ExecutorKey) {
        self.changes.executors.insert(key);
        self.state.index_executor(key);
        if let Some(executor) = self.state.executors.get(&key) {
            self.touch(executor.row.session);
        }
    }

    /// Marks a session as changed.
    pub fn touch(&mut self, session: SessionKey) {
        if self.state.sessions.contains_key(&session) {
            self.changes.sessions.insert(session);
            self.touched.insert(session);
        }
    }

    /// Tells workers something about many of their tasks, one message each.
    pub fn order_tokens(&mut self, tokens: &[Token], order: impl Fn(Vec<Token>) -> Order) {
        let mut by_node: std::collections::BTreeMap<NodeName, Vec<Token>> = std::collections::BTreeMap::new();
        for token in tokens {
            let executor = self.state.assignments.get(token).and_then(|row| self.state.executors.get(&row.executor));
            if let Some(executor) = executor {
                by_node.entry(executor.row.node.clone()).or_default().push(*token);
            }
        }
        for (node, tokens) in by_node {
            self.order(&node, order(tokens));
        }
    }
}
