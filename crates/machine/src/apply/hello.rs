//! Hello: a worker attaches, and its view and the state's are made one.
//!
//! **Invariant:** what both know stays; what only the state knows is told again or taken for lost; what only the worker
//! knows is stopped, or forgotten as settled. Nothing is run twice.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{ExecutorKey, ExecutorState, NodeName, Resources, Token, limits};

use super::batch::{Apply, Outcome};
use super::ending::Loss;
use crate::cluster_event::{ClusterEvent, WorkerLife};
use crate::command::{FailureCause, HeldExecutor, Hello};
use crate::effect::{Effect, Order};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::{Executor, ExecutorRow, Node, NodeRow};

/// Keys above the next one come from another generation; further than this they are not believed at all.
const FOREIGN_KEY_MAX: u64 = u64::MAX / 2;

/// Most that one worker may claim to have: the sum over [`limits::NODES_MAX`] workers still fits its type.
const CAPACITY_MAX: Resources = Resources { cpu: 1 << 20, memory: 1 << 50, gpu: 1 << 16 };

impl Apply<'_> {
    pub(super) fn hello(&mut self, hello: Hello) -> Outcome {
        self.check_hello(&hello)?;
        let name = hello.node.clone();
        let life = self.life_of(&hello);
        if self.state.nodes.get(&name).is_some_and(|node| node.row.incarnation < hello.incarnation) {
            self.lose_node_executors(&name, &format!("worker {name} was restarted"));
        }
        self.make_room_for_node(&name);
        let lapsed = self.state.nodes.get(&name).is_some_and(|node| node.row.expired.is_some());
        let epoch = self.state.cluster.next_epoch;
        self.state.cluster.next_epoch = epoch.next();
        self.changes.cluster = true;
        self.attach(&hello, epoch);

        // Welcome goes first, but which tokens are settled is known only when all is aligned.
        let welcome = self.effects.len();
        self.align_executors(&name, &hello);
        self.align_tokens(&name, &hello);
        let settled = hello.tokens.iter().copied().filter(|token| self.held_on(*token) != Some(&name)).collect();
        let order = Order::Welcome { settled, lapsed };
        self.effects.insert(welcome, Effect { node: name.clone(), epoch, order });
        self.node_changed(&name);
        self.happened(ClusterEvent::WorkerAttached { node: name, life });
        Ok(Reply::Attached { epoch })
    }

    /// What the worker behind a Hello is to the one that had its name before.
    fn life_of(&self, hello: &Hello) -> WorkerLife {
        match self.state.nodes.get(&hello.node) {
            None => WorkerLife::New,
            Some(node) if node.row.incarnation == hello.incarnation => WorkerLife::Same,
            Some(node) if node.row.attached => WorkerLife::Superseding,
            Some(_) => WorkerLife::Restarted,
        }
    }

    fn check_hello(&self, hello: &Hello) -> Result<(), Refusal> {
        if hello.executors.len() > limits::NODE_EXECUTORS_MAX {
            let limit = limits::NODE_EXECUTORS_MAX as u64;
            return Err(Refusal::Limit { name: "executors of one node".into(), limit });
        }
        if !hello.capacity.fits(CAPACITY_MAX) {
            return Err(Refusal::InvalidSpec(format!("a worker has at most {CAPACITY_MAX}, not {}", hello.capacity)));
        }
        let name = hello.node.to_string();
        let Some(node) = self.state.nodes.get(&hello.node) else {
            let limit = limits::NODES_MAX;
            let full = self.state.nodes.len() >= limit;
            if full && !self.state.nodes.values().any(|node| node.row.expired.is_some()) {
                return Err(Refusal::Limit { name: "nodes".into(), limit: limit as u64 });
            }
            return Ok(());
        };
        if hello.incarnation < node.row.incarnation {
            return Err(Refusal::Superseded(name));
        }
        if hello.incarnation == node.row.incarnation {
            return if hello.hello > node.row.hello { Ok(()) } else { Err(Refusal::StaleHello(name)) };
        }
        let same_host = hello.host.name == node.row.host.name && hello.host.boot_id == node.row.host.boot_id;
        if node.row.attached && !same_host {
            return Err(Refusal::NameInUse(name));
        }
        Ok(())
    }

    /// The node that expired first makes room when there are too many: one that an operator has cordoned only when there is
    /// no other, since that would be forgotten with it.
    fn make_room_for_node(&mut self, name: &NodeName) {
        if self.state.nodes.contains_key(name) || self.state.nodes.len() < limits::NODES_MAX {
            return;
        }
        let rank = |node: &Node| Some((node.row.cordoned, node.row.expired?, node.row.name.clone()));
        let expired = self.state.nodes.values().filter_map(rank);
        if let Some((_, _, oldest)) = expired.min() {
            // An expired node adds nothing to the capacity.
            self.state.remove_node(&oldest);
            self.changes.nodes.insert(oldest);
        }
    }

    fn attach(&mut self, hello: &Hello, epoch: flame_types::Epoch) {
        let wall = self.wall;
        let node = self.state.nodes.entry(hello.node.clone()).or_insert_with(|| {
            Node::new(NodeRow {
                name: hello.node.clone(),
                incarnation: hello.incarnation,
                hello: hello.hello,
                host: hello.host.clone(),
                capacity: hello.capacity,
                shims: hello.shims.clone(),
                epoch,
                attached: true,
                expired: None,
                cordoned: false,
                draining: false,
                bind_failures: 0,
                seen: wall,
                avoidance: Default::default(),
            })
        });
        if node.row.incarnation != hello.incarnation {
            node.row.incarnation = hello.incarnation;
            node.row.capacity = hello.capacity;
            node.row.shims = hello.shims.clone();
            node.row.host = hello.host.clone();
            node.forgive();
        }
        node.row.hello = hello.hello;
        node.row.epoch = epoch;
        node.row.attached = true;
        node.row.expired = None;
        node.row.seen = wall;
        self.changes.nodes.insert(hello.node.clone());
    }

    fn align_executors(&mut self, name: &NodeName, hello: &Hello) {
        let reported: BTreeMap<ExecutorKey, &HeldExecutor> =
            hello.executors.iter().map(|held| (held.executor, held)).collect();
        let listed: BTreeSet<Token> = hello.tokens.iter().copied().collect();
        let known: Vec<ExecutorKey> = self.state.nodes[name].executors.iter().copied().collect();
        for key in known {
            match reported.get(&key) {
                Some(held) => self.align_known(key, held),
                None => self.align_missing(key, &listed),
            }
        }
        for (key, held) in reported {
            if self.state.executors.get(&key).is_none_or(|executor| executor.row.node != *name) {
                self.enter_unknown(name, held);
            }
        }
    }

    /// An executor that both know.
    fn align_known(&mut self, key: ExecutorKey, held: &HeldExecutor) {
        self.publish_all(key, &held.attributes);
        let executor = self.state.executors.get_mut(&key).expect("the caller has found it");
        let node = executor.row.node.clone();
        let same_session = executor.row.session == held.session;
        match executor.row.state {
            ExecutorState::Void | ExecutorState::Binding if same_session && held.ready => self.bound(key),
            ExecutorState::Void | ExecutorState::Binding => {
                executor.row.state = ExecutorState::Binding;
                let (session, resources) = (executor.row.session, executor.row.resources);
                if !same_session {
                    self.order(&node, Order::Start { executor: key, session, resources });
                }
                self.executor_changed(key);
            }
            ExecutorState::Bound if !(same_session && held.ready) => {
                let message = "it is not in the session it should serve".to_string();
                self.blame(key, FailureCause::Crashed { message: message.clone() });
                self.empty_queue(key, &Loss::Crashed(message), |_, row| row.started.is_some());
                self.stop(key);
            }
            ExecutorState::Releasing => {
                executor.row.gone = false;
                self.changes.executors.insert(key);
                self.order(&node, Order::Stop { executor: key });
            }
            _ => {}
        }
    }

    /// An executor that the worker does not run (any more). Results it left behind are still to come: until then a
    /// place is kept for them.
    fn align_missing(&mut self, key: ExecutorKey, listed: &BTreeSet<Token>) {
        let executor = &self.state.executors[&key];
        let node = executor.row.node.clone();
        if executor.row.state == ExecutorState::Void {
            let (session, resources) = (executor.row.session, executor.row.resources);
            return self.order(&node, Order::Start { executor: key, session, resources });
        }
        let message = format!("worker {node} does not run it any more");
        self.blame(key, FailureCause::Crashed { message: message.clone() });
        let loss = Loss::Crashed(message);
        let queue: Vec<Token> = self.state.executors[&key].queue.iter().copied().collect();
        for token in queue.into_iter().filter(|token| !listed.contains(token)) {
            if self.state.assignments[&token].started.is_some() {
                self.lose_attempt(token, &loss);
            } else {
                self.return_task(token);
            }
        }
        if self.state.executors[&key].queue.is_empty() {
            return self.remove_executor(key);
        }
        self.state.detach_executor(key);
        let executor = self.state.executors.get_mut(&key).expect("it was found above");
        executor.row.state = ExecutorState::Releasing;
        executor.row.gone = true;
        self.executor_changed(key);
    }

    /// An executor that only the worker knows: it is stopped, and counts until it has left.
    fn enter_unknown(&mut self, name: &NodeName, held: &HeldExecutor) {
        let key = held.executor;
        self.order(name, Order::Stop { executor: key });
        if self.state.executors.contains_key(&key) || key.0 >= FOREIGN_KEY_MAX {
            return;
        }
        let free = self.state.nodes[name].free();
        let resources = Resources {
            cpu: held.resources.cpu.min(free.cpu),
            memory: held.resources.memory.min(free.memory),
            gpu: held.resources.gpu.min(free.gpu),
        };
        self.state.cluster.next_executor = self.state.cluster.next_executor.max(key.next());
        let row = ExecutorRow {
            key,
            node: name.clone(),
            session: held.session,
            app: None,
            edition: 0,
            resources,
            state: ExecutorState::Releasing,
            epoch: flame_types::Epoch(0),
            slots: 1,
            retiring: false,
            gone: false,
            idle_since: self.state.cluster.time,
            ran_us_mean: 0,
            completed: 0,
            created: self.wall,
        };
        self.state.executors.insert(key, Executor::new(row));
        self.state.count_executor(key);
        self.changes.executors.insert(key);
        self.state.index_executor(key);
    }

    /// Tokens that the worker does not list are assigned again; those that were to be given back are back already.
    fn align_tokens(&mut self, name: &NodeName, hello: &Hello) {
        let listed: BTreeSet<Token> = hello.tokens.iter().copied().collect();
        let draining = self.state.nodes[name].row.draining;
        let (mut cancelled, mut recalled) = (Vec::new(), Vec::new());
        let executors: Vec<ExecutorKey> = self.state.nodes[name].executors.iter().copied().collect();
        for executor in executors {
            let queue: Vec<Token> = self.state.executors[&executor].queue.iter().copied().collect();
            for token in queue {
                let row = &self.state.assignments[&token];
                match (listed.contains(&token), row.cancelled, row.recalled || draining) {
                    (true, true, _) => cancelled.push(token),
                    (true, false, _) if row.recalled => recalled.push(token),
                    (true, ..) => {}
                    (false, true, _) | (false, _, true) => self.return_task(token),
                    (false, false, false) => {
                        let (session, task, attempt) = (row.session, row.task, row.attempt);
                        let timeout_ms = self.state.timeout_ms(session, row.story.as_deref());
                        self.order(name, Order::Assign { executor, session, task, attempt, token, timeout_ms });
                    }
                }
            }
            self.queue_realigned(executor);
        }
        self.order_tokens(&cancelled, |tokens| Order::Cancel { tokens });
        self.order_tokens(&recalled, |tokens| Order::Recall { tokens });
    }

    /// A queue may have become shorter, or have been empty all the time.
    fn queue_realigned(&mut self, key: ExecutorKey) {
        let executor = &self.state.executors[&key];
        let waits_to_go = executor.row.gone || executor.row.retiring;
        if !executor.queue.is_empty() || waits_to_go {
            self.queue_changed(key);
        }
    }
}
