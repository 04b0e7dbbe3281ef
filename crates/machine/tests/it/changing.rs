//! Executors that change their sessions, with a worker that does what it is told: late, after its stream broke, or
//! failing to enter. In the end every task has run, and none twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flame_machine::command::{
    Attributes, Completion, FailureCause, HeldExecutor, Hello, Host, Inputs, Outcome, Submit,
};
use flame_machine::{Applied, ClusterConfig, Command, Order, invariants, schedule};
use flame_types::{
    AppName, AppSpec, CoordinatorId, Epoch, ExecutorKey, HelloNo, Incarnation, NodeName, Payload, Resources,
    RetryLimit, RetryLimits, SessionId, SessionKey, SessionSpec, SessionState, Shim, TaskNo, TaskOptions, Token,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::config;
use crate::world::World;

const SESSIONS: u64 = 6;

/// Rounds after which everything must have come to rest.
const ROUNDS_MAX: usize = 2_000;

/// An executor as its worker has it.
#[derive(Debug)]
struct Held {
    session: SessionKey,
    is_entered: bool,
    /// Whether the leader has heard of that.
    is_told: bool,
    queue: VecDeque<(Token, SessionKey, TaskNo)>,
}

/// The cluster, and a worker at the end of a slow stream.
struct Scene {
    world: World,
    epoch: Epoch,
    hellos: u64,
    inbox: VecDeque<Order>,
    executors: BTreeMap<ExecutorKey, Held>,
    ran: BTreeSet<(SessionKey, TaskNo)>,
    planned: Vec<Command>,
}

fn node() -> NodeName {
    NodeName::parse("w").unwrap()
}

fn session_id(which: u16) -> SessionId {
    SessionId::parse(&format!("s{}", u64::from(which) % SESSIONS)).unwrap()
}

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

impl Scene {
    /// Six sessions of two applications on a worker with room for two or three executors.
    fn new(kind: u16) -> Self {
        let mut world = World::new();
        let spec = AppSpec { delay_release_seconds: 2, ..AppSpec::default() };
        let mut commands = vec![Command::SetConfig(Box::new(ClusterConfig {
            retry: RetryLimits {
                refused: RetryLimit { starts_max: 1_000_000, ..RetryLimits::CLUSTER.refused },
                ..RetryLimits::CLUSTER
            },
            prefetch_max: u32::from(kind % 3),
            ..ClusterConfig::default()
        }))];
        commands.extend(["a", "b"].map(|name| Command::Register { name: app(name), spec: Box::new(spec.clone()) }));
        for which in 0..SESSIONS as u16 {
            let of_other = which == 5 && kind.is_multiple_of(2);
            let spec = SessionSpec {
                priority: u32::from(which == 4 && kind.is_multiple_of(3)),
                batch_size: if which == 3 && kind.is_multiple_of(5) { 2 } else { 1 },
                min_instances: u32::from(which == 2 && kind.is_multiple_of(7)),
                resources: Resources { cpu: 1, memory: 1, gpu: 0 },
                ..SessionSpec::new(app(if of_other { "b" } else { "a" }))
            };
            commands.push(Command::Create { id: session_id(which), spec: Box::new(spec) });
        }
        world.apply(0, commands);
        let mut scene = Self {
            world,
            epoch: Epoch(0),
            hellos: 0,
            inbox: VecDeque::new(),
            executors: BTreeMap::new(),
            ran: BTreeSet::new(),
            planned: Vec::new(),
        };
        // A gang and a minimum do not fit on two.
        scene.hello(if kind.is_multiple_of(35) { 3 } else { 2 + u64::from(kind % 2) });
        scene
    }

    fn apply(&mut self, delta_ms: u32, command: Command) -> Applied {
        let applied = self.world.apply(delta_ms, vec![command]);
        let here = applied.effects.iter().filter(|effect| effect.epoch == self.epoch);
        self.inbox.extend(here.map(|effect| effect.order.clone()));
        applied
    }

    /// A new stream: what was on its way on the old one is lost.
    fn hello(&mut self, room: u64) {
        self.inbox.clear();
        self.hellos += 1;
        let resources = Resources { cpu: 1, memory: 1, gpu: 0 };
        let executors = self.executors.iter_mut().map(|(key, held)| {
            held.is_told = held.is_entered;
            let (session, ready) = (held.session, held.is_entered);
            HeldExecutor { executor: *key, session, ready, resources, attributes: Vec::new() }
        });
        let executors = executors.collect();
        let tokens: Vec<Token> =
            self.executors.values().flat_map(|held| held.queue.iter().map(|task| task.0)).collect();
        let hello = Hello {
            node: node(),
            incarnation: Incarnation { started_ms: 1, nonce: 0 },
            hello: HelloNo(self.hellos),
            host: Host::default(),
            capacity: Resources { cpu: room, memory: 100, gpu: 0 },
            shims: vec![Shim::Host],
            seen: Token(0),
            executors,
            tokens,
        };
        let applied = self.world.apply(0, vec![Command::Hello(Box::new(hello))]);
        self.epoch = self.world.state.nodes()[&node()].row.epoch;
        self.inbox.extend(applied.effects.into_iter().map(|effect| effect.order));
    }

    /// The worker reads one order.
    fn read(&mut self) {
        match self.inbox.pop_front() {
            Some(Order::Start { executor, session, .. }) => {
                let fresh = Held { session, is_entered: false, is_told: false, queue: VecDeque::new() };
                let held = self.executors.entry(executor).or_insert(fresh);
                if held.session != session {
                    (held.session, held.is_entered, held.is_told) = (session, false, false);
                    let queue = std::mem::take(&mut held.queue);
                    self.give_back(queue.into_iter().map(|task| task.0).collect());
                } else if held.is_entered {
                    self.ready(executor);
                }
            }
            Some(Order::Assign { executor, session, task, token, .. }) => {
                assert!(!self.ran.contains(&(session, task)), "task {task} of session {session} has run");
                match self.executors.get_mut(&executor).filter(|held| held.session == session) {
                    Some(held) if held.queue.iter().any(|queued| queued.0 == token) => {}
                    Some(held) => held.queue.push_back((token, session, task)),
                    None => self.give_back(vec![token]),
                }
            }
            Some(Order::Recall { tokens } | Order::Cancel { tokens }) => {
                self.executors.values_mut().for_each(|held| held.queue.retain(|task| !tokens.contains(&task.0)));
                self.give_back(tokens);
            }
            Some(Order::Stop { executor }) => {
                if let Some(held) = self.executors.remove(&executor) {
                    self.give_back(held.queue.into_iter().map(|task| task.0).collect());
                }
                self.apply(0, Command::ExecutorLeft { node: node(), epoch: self.epoch, executor });
            }
            Some(Order::Welcome { settled, .. }) => {
                self.executors.values_mut().for_each(|held| held.queue.retain(|task| !settled.contains(&task.0)));
            }
            Some(Order::Recorded { .. }) | None => {}
        }
    }

    fn give_back(&mut self, tokens: Vec<Token>) {
        if !tokens.is_empty() {
            self.apply(0, Command::Return { node: node(), epoch: self.epoch, tokens });
        }
    }

    fn ready(&mut self, executor: ExecutorKey) {
        let held = self.executors.get_mut(&executor).expect("the caller has found it");
        held.is_told = true;
        let (session, attributes) = (held.session, Attributes::default());
        self.apply(0, Command::ExecutorReady { node: node(), epoch: self.epoch, executor, session, attributes });
    }

    /// One executor goes on: it enters its session, or fails to, or runs its next task.
    fn work(&mut self, which: u16, fails: bool) {
        let place = usize::from(which) % self.executors.len().max(1);
        let Some((executor, held)) = self.executors.iter_mut().nth(place) else { return };
        let executor = *executor;
        if !held.is_entered {
            if fails {
                self.executors.remove(&executor);
                let cause = FailureCause::Bind { return_code: 12, message: "no".into() };
                let (node, epoch, started) = (node(), self.epoch, Vec::new());
                self.apply(0, Command::ExecutorFailed { node, epoch, executor, started, cause });
            } else {
                held.is_entered = true;
                // With a task at hand its result may say so.
                if held.queue.is_empty() || which.is_multiple_of(3) {
                    self.ready(executor);
                }
            }
            return;
        }
        let Some((token, session, task)) = held.queue.pop_front() else {
            if !held.is_told {
                self.ready(executor);
            }
            return;
        };
        held.is_told = true;
        let outcome = Outcome::Succeed { output: None, message: None };
        let done = vec![Completion { token, outcome, ran_us: 10, attributes: Attributes::default() }];
        assert!(self.ran.insert((session, task)), "task {task} of session {session} ran twice");
        self.apply(0, Command::Complete { node: node(), done });
    }

    /// What was planned takes effect later.
    fn plan(&mut self, at_once: bool) {
        for command in std::mem::take(&mut self.planned) {
            self.apply(0, command);
        }
        self.planned = schedule::plan(&self.world.state);
        if at_once {
            self.plan(false);
        }
    }

    fn step(&mut self, kind: u16, which: u16) {
        let id = session_id(which);
        match kind % 32 {
            0..=5 => {
                let inputs = Inputs::Each(vec![Some(Payload::from("x")); 1 + usize::from(kind / 32 % 3)]);
                let options = TaskOptions::default();
                let submit = Submit { session: id, inputs, options, idempotency_key: None };
                self.apply(0, Command::Submit(Box::new(submit)));
            }
            6..=12 => self.read(),
            13..=21 => self.work(which, kind.is_multiple_of(11)),
            22..=25 => self.plan(kind.is_multiple_of(2)),
            26 => drop(self.apply(u32::from(which % 400), Command::Tick)),
            27 => drop(self.apply(0, Command::Suspend { id })),
            28 => drop(self.apply(0, Command::Resume { id })),
            29 if which.is_multiple_of(4) => drop(self.apply(0, Command::Close { id, force: false })),
            30 => {
                self.apply(0, Command::Detach { node: node(), epoch: self.epoch });
                self.hello(3);
            }
            31 => {
                self.world.term = self.world.term.next();
                self.apply(0, Command::LeaderStart { leader: CoordinatorId(1) });
                self.world.restart();
                self.hello(3);
            }
            _ => self.read(),
        }
    }

    /// Everybody does what is left to do.
    fn finish(&mut self) -> Result<(), String> {
        for which in 0..SESSIONS as u16 {
            self.apply(0, Command::Resume { id: session_id(which) });
        }
        for round in 0..ROUNDS_MAX {
            let before = (self.world.state.clone(), self.ran.len());
            while !self.inbox.is_empty() {
                self.read();
            }
            for which in 0..self.executors.len() as u16 {
                self.work(which, false);
            }
            self.plan(true);
            self.apply(100, Command::Tick);
            let live = self.world.state.sessions().values().any(|session| session.work() > 0);
            if !live && self.inbox.is_empty() {
                return Ok(());
            }
            if round + 1 == ROUNDS_MAX {
                return Err(format!("no rest: {:?}", before.0.sessions()));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.world.check().map_err(TestCaseError::fail)?;
        invariants::planned(&self.world.state).map_err(TestCaseError::fail)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_task_runs_once(kind in any::<u16>(), steps in vec((any::<u16>(), any::<u16>()), 1..200)) {
        let mut scene = Scene::new(kind);
        for (kind, which) in steps {
            scene.step(kind, which);
            scene.check()?;
        }
        scene.finish().map_err(TestCaseError::fail)?;
        scene.check()?;
        for session in scene.world.state.sessions().values() {
            prop_assert_eq!(session.row.state, SessionState::Open);
            prop_assert_eq!(session.row.succeed, session.row.next_task.0 - 1);
            for task in 1..session.row.next_task.0 {
                prop_assert!(scene.ran.contains(&(session.key, TaskNo(task))));
            }
        }
    }
}
