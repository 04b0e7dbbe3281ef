//! Random batches with plausible references.
//!
//! A step is a few random numbers; what they mean is decided when the step is taken, from the state as it is then. So
//! most commands speak of things that exist, in states where something happens, and a failing list shrinks well.

use flame_machine::command::{
    Ahead, Attributes, Completion, FailureCause, HeldExecutor, Hello, Host, Inputs, LeaseEnd, Outcome, Submit,
    WaitReason,
};
use flame_machine::config::NodeAvoidance;
use flame_machine::{Batch, ClusterConfig, Command, Item, State};
use flame_types::{
    AppName, AppSpec, ClientId, ClosedRetention, CoordinatorId, Epoch, ExecutorKey, ExecutorState, HelloNo,
    Incarnation, LogIndex, NodeName, Payload, RequestId, RequestNo, Resources, Retention, Retries, Retry, RetryLimits,
    Seq, SessionId, SessionKey, SessionSpec, Shim, TaskNo, TaskOptions, TaskRetention, Term, Token, WallMs,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::World;

mod objects;

/// A step before it is known what it means.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    kind: u16,
    which: u16,
    other: u16,
    /// How far time advances with it.
    delta_ms: u16,
    /// Whether it shares its entry with the step before.
    joined: bool,
}

impl Step {
    /// Which kind of command: up to 99 those of sessions and workers, then those of the object cache.
    fn what(self) -> u16 {
        self.kind % 125
    }
}

/// Lists of steps. (Boxed, as `run` takes a `dyn`: the tests need not each compile their own copy of both.)
pub fn steps() -> BoxedStrategy<Vec<Step>> {
    let delta = prop_oneof![4 => Just(0u16), 2 => 1..300u16, 1 => 300..15_000u16];
    let step = (any::<u16>(), any::<u16>(), any::<u16>(), delta, prop::bool::weighted(0.2));
    let step = step.prop_map(|(kind, which, other, delta_ms, joined)| Step { kind, which, other, delta_ms, joined });
    vec(step, 1..160).boxed()
}

/// How many lists a test tries.
pub fn config() -> ProptestConfig {
    ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() }
}

/// Takes the steps on a new world and calls `visit` with each batch and the world before it; what `visit` is given back
/// through the world is what it does with the batch.
pub fn run(
    steps: &[Step],
    visit: &mut dyn FnMut(&mut World, Batch) -> Result<(), TestCaseError>,
) -> Result<World, TestCaseError> {
    let mut world = World::new();
    for batch in prelude() {
        visit(next(&mut world, &batch), batch)?;
    }
    let mut at = 0;
    while at < steps.len() {
        let joined = steps[at + 1..].iter().take_while(|step| step.joined).count();
        let group = &steps[at..=at + joined];
        at += group.len();
        world.term = Term(world.term.0 + u64::from(group[0].kind.is_multiple_of(97)));
        // Items of one entry are composed from the state before it, as proposers do.
        let items = group.iter().enumerate().map(|(at, step)| item(&world, at, *step)).collect();
        let delta_ms = u32::from(group[0].delta_ms);
        let batch = Batch { wall_ms: WallMs(world.wall + i64::from(delta_ms)), cluster_delta_ms: delta_ms, items };
        visit(next(&mut world, &batch), batch)?;
    }
    Ok(world)
}

fn next<'w>(world: &'w mut World, batch: &Batch) -> &'w mut World {
    world.index = LogIndex(world.index.0 + 1);
    world.wall = batch.wall_ms.0;
    world
}

/// Two applications, two workers, some sessions: so that the first random step already meets something.
fn prelude() -> Vec<Batch> {
    let config = ClusterConfig {
        retry: retry_limits(3),
        avoidance: avoidance(1_501),
        prefetch_max: 2,
        client_window_max: 6,
        requests_max: 5,
        retention: retention(1),
        objects: objects::config(1),
        ..ClusterConfig::default()
    };
    let app = |name: &str, max_instances| {
        let spec = AppSpec { max_instances, delay_release_seconds: 5, ..AppSpec::default() };
        Command::Register { name: AppName::parse(name).unwrap(), spec: Box::new(spec) }
    };
    let commands = vec![
        Command::SetConfig(Box::new(config)),
        app("a", 4),
        app("b", 100),
        create(0, 0),
        create(1, 1),
        create(2, 7),
        Command::Hello(Box::new(hello(&State::new(), 0, 0))),
        Command::Hello(Box::new(hello(&State::new(), 1, 0))),
        Command::RegisterClient { nonce: 1, gateway: None },
        Command::RegisterClient { nonce: 2, gateway: Some(CoordinatorId(1)) },
    ];
    let item = |command| Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
    vec![Batch { wall_ms: WallMs(1_000), cluster_delta_ms: 0, items: commands.into_iter().map(item).collect() }]
}

fn item(world: &World, at: usize, step: Step) -> Item {
    let command = match step.what() {
        62..=65 | 98..=99 => trim(world, step.which.into(), step.other.into()),
        100.. => objects::command(&world.state, step.what(), step.which.into(), step.other.into()),
        _ => command(&world.state, step),
    };
    let from_user = matches!(step.what(), 0..=29 | 121..=123);
    let command = if from_user && step.delta_ms % 3 == 1 { once(&world.state, step, command) } else { command };
    let plain = Item { client: ClientId::NONE, seq: Seq(at as u64), below: Seq(0), command: command.clone() };
    // A worker's and the leader's commands carry no number; some of the users' do not either.
    if !from_user || step.other.is_multiple_of(2) {
        return plain;
    }
    let Some((id, client)) = pick(world.state.clients(), step.other.into()) else { return plain };
    let seq = match step.which % 8 {
        0 => client.row.last,
        1 => Seq(client.row.last.0 + 2),
        2 => Seq(client.row.last.0.saturating_sub(1)),
        _ => client.row.last.next(),
    };
    let below = Seq(client.row.below.0 + u64::from(step.other % 3));
    Item { client: *id, seq, below, command }
}

/// With a request id: mostly a new one, sometimes one that is remembered, or was; seen lately, or long ago.
fn once(state: &State, step: Step, command: Command) -> Command {
    let which = u64::from(step.which);
    let id = match which % 4 {
        0 => which % 3,
        _ => 1_000 + which,
    };
    let ago = if which % 5 == 2 { which % 11 } else { 0 };
    let request = RequestId(u128::from(id).to_be_bytes());
    let seen = RequestNo(state.next_request().0.saturating_sub(ago));
    Command::Once { request, seen, command: Box::new(command) }
}

/// What retention wants, sometimes as it wanted it a moment ago or somewhat more of it.
fn trim(world: &World, which: u64, other: u64) -> Command {
    let sessions = flame_machine::retention::expired_sessions(&world.state, 4);
    if !sessions.is_empty() && other.is_multiple_of(4) {
        return Command::Expire { sessions };
    }
    let (due, _) = flame_machine::retention::due_sessions(&world.state, None, usize::MAX);
    let due = due.get(usize::try_from(which).unwrap() % due.len().max(1));
    let Some(Command::Trim(mut trim)) = due.and_then(|due| world.trim(due.session())) else { return Command::Tick };
    match other % 16 {
        1 => trim.from = trim.to,
        3 => trim.to.index.0 += 1_000_000,
        5 => trim.tasks.push((TaskNo(1), TaskNo(other))),
        7 => trim.submits.push((TaskNo(other), TaskNo(other + 1))),
        9 => trim.bytes += 1 << 40,
        _ => {}
    }
    Command::Trim(trim)
}

fn command(state: &State, step: Step) -> Command {
    let (which, other) = (u64::from(step.which), u64::from(step.other));
    match step.what() {
        0..=1 => app_command(state, which, other),
        2..=4 => create(which, other),
        5 => open(which, other),
        6..=7 => Command::Close { id: session_id(which), force: other % 2 == 0 },
        8 => Command::Suspend { id: session_id(which) },
        9..=10 => Command::Resume { id: session_id(which) },
        11 => Command::Delete { id: session_id(which) },
        12..=22 => submit(which, other),
        23..=24 => lone(state, which, other),
        25..=29 => Command::Cancel { session: session_id(which), task: TaskNo(other % 12) },
        30..=34 => Command::Hello(Box::new(hello(state, which, other))),
        35..=50 => complete(state, which, other),
        51..=52 => {
            Command::Return { node: node(which), epoch: epoch(state, which, other), tokens: tokens(state, other) }
        }
        53 => Command::Started { node: node(which), epoch: epoch(state, which, other), tokens: tokens(state, other) },
        54..=61 => ready(state, which, other),
        66..=67 => failed(state, which, other),
        68..=69 => left(state, which, other),
        70 => Command::Cordon { node: node(which), on: other % 3 == 0 },
        71 => Command::Drain { node: node(which) },
        72 => Command::LeaderStart { leader: CoordinatorId(1 + which % 3) },
        73 => Command::Detach { node: node(which), epoch: epoch(state, which, other) },
        74 => {
            let end = if other.is_multiple_of(3) { LeaseEnd::Goodbye } else { LeaseEnd::RanOut };
            Command::ExpireNode { node: node(which), epoch: epoch(state, which, other), end }
        }
        75..=86 => planned(state, which, other),
        what => upkeep(state, what, which, other),
    }
}

fn upkeep(state: &State, what: u16, which: u64, other: u64) -> Command {
    match what {
        87 => Command::Recall { tokens: tokens(state, other) },
        88 => {
            let reasons = [None, Some(WaitReason::Busy), Some(WaitReason::NoWorkers)];
            Command::Waiting { session: session_key(state, which), reason: reasons[other as usize % 3].clone() }
        }
        89 => Command::RegisterClient { nonce: u128::from(which % 4), gateway: None },
        90 => {
            let gateway = Some(CoordinatorId(which % 2));
            Command::RegisterClient { nonce: u128::from(100 + other % 3), gateway }
        }
        91 => Command::EndClient { client: ClientId(1 + which % 4) },
        92 => Command::ExpireClient { client: ClientId(1 + which % 4), last: Seq(other % 6) },
        93 => {
            let prefetch_max = (which % 6) as u32;
            let gang_patience_ms = 1 + other % 10_000;
            let client_window_max = 4 + (which % 3) as u32;
            let config = ClusterConfig {
                retry: retry_limits(1 + (other % 3) as u32),
                avoidance: avoidance(other),
                prefetch_max,
                gang_patience_ms,
                client_window_max,
                requests_max: 1 + (other % 7) as u32,
                retention: retention(which),
                kept_bytes_max: if which.is_multiple_of(5) { 3_000 } else { 1 << 40 },
                objects: objects::config(other),
                ..ClusterConfig::default()
            };
            Command::SetConfig(Box::new(config))
        }
        94 => Command::SetFeatureLevel { level: (which % 2) as u32 },
        95 if which % 8 == 1 => Command::DiskShort { on: other.is_multiple_of(3) },
        95 if which.is_multiple_of(8) => Command::NewGeneration { nonce: u128::from(other % 4) },
        96 => Command::Expire { sessions: vec![session_key(state, which), SessionKey(other % 9)] },
        _ => Command::Void,
    }
}

fn app_name(which: u64) -> AppName {
    AppName::parse(if which.is_multiple_of(2) { "a" } else { "b" }).unwrap()
}

fn session_id(which: u64) -> SessionId {
    SessionId::parse(&format!("s{}", which % 5)).unwrap()
}

fn node(which: u64) -> NodeName {
    NodeName::parse(&format!("w{}", which % 3)).unwrap()
}

fn pick<K, V>(map: &std::collections::BTreeMap<K, V>, which: u64) -> Option<(&K, &V)> {
    map.iter().nth(usize::try_from(which).unwrap() % map.len().max(1))
}

fn session_key(state: &State, which: u64) -> SessionKey {
    pick(state.sessions(), which).map_or(SessionKey(1), |(key, _)| *key)
}

/// Mostly the present lease, sometimes an old one.
fn epoch(state: &State, which: u64, other: u64) -> Epoch {
    let present = state.nodes().get(&node(which)).map_or(0, |node| node.row.epoch.0);
    Epoch(if other.is_multiple_of(16) { present.saturating_sub(1) } else { present })
}

fn tokens(state: &State, other: u64) -> Vec<Token> {
    let mut tokens: Vec<Token> = pick(state.assignments(), other).map(|(token, _)| *token).into_iter().collect();
    if other.is_multiple_of(8) {
        tokens.push(Token(other % 20));
    }
    tokens
}

/// Policies that random batches reach within seconds.
fn retention(which: u64) -> Retention {
    Retention {
        tasks: TaskRetention {
            age_ms: Some(500 + which % 3_000),
            age_ms_min: Some(which % 500),
            count: Some(40 + which % 2_000),
            bytes: which.is_multiple_of(3).then_some(2_000),
        },
        closed: ClosedRetention {
            age_ms: Some(1_000 + which % 20_000),
            count: Some(1 + which % 4),
            bytes: which.is_multiple_of(4).then_some(1_000),
        },
    }
}

/// No policy allows more starts for one cause.
pub const STARTS_MAX: u32 = 4;

/// No worker is avoided for longer.
pub const AVOIDED_MS_MAX: u64 = 11_000;

/// Limits that random batches reach.
fn retry_limits(starts_max: u32) -> RetryLimits {
    let few = Retry { starts_max: Some(starts_max), ..Retry::default() };
    let few = Retries { lost: few, crashed: few, refused: few, failed: few };
    few.or(RetryLimits::CLUSTER)
}

/// A policy with some of its parts.
fn retries(which: u64) -> Retries {
    let part = |bit: u64| Retry {
        starts_max: (which >> bit & 1 == 1).then_some(1 + which as u32 % STARTS_MAX),
        backoff_ms: (which >> (bit + 1) & 1 == 1).then_some(which % 700),
        backoff_ms_max: (which >> (bit + 2) & 1 == 1).then_some(700 + which % 5_000),
    };
    Retries { lost: part(1), crashed: part(3), refused: part(5), failed: part(7) }
}

/// Workers are avoided after one to three failures, for some seconds.
fn avoidance(which: u64) -> NodeAvoidance {
    let backoff_ms_max = 2_000 + which % (AVOIDED_MS_MAX - 2_000);
    NodeAvoidance { failures: 1 + (which % 3) as u32, backoff_ms: which % 2_000, backoff_ms_max }
}

fn app_command(state: &State, which: u64, other: u64) -> Command {
    let name = app_name(which);
    let shim = if which % 7 == 3 { Shim::Wasm } else { Shim::Host };
    let retention = if which % 5 == 1 { retention(other) } else { Retention::default() };
    let max_instances = 1 + (other % 6) as u32;
    let retry = if which % 5 == 2 { retries(other) } else { Retries::default() };
    let task_timeout_ms = (which % 9 == 3).then_some(1 + other % 3_000);
    let spec = AppSpec {
        shim,
        max_instances,
        delay_release_seconds: 5,
        retention,
        retry,
        task_timeout_ms,
        ..AppSpec::default()
    };
    match (state.apps().contains_key(&name), other % 4) {
        (true, 0) => Command::Unregister { name },
        (true, 1..) => Command::Update { name, spec: Box::new(spec) },
        (false, 0) => Command::InstallBuiltins { version: (other % 5) as u32, apps: vec![(name, spec)] },
        (false, _) => Command::Register { name, spec: Box::new(spec) },
    }
}

fn spec(other: u64) -> SessionSpec {
    let max = 1 + (other % 4) as u32;
    SessionSpec {
        min_instances: u32::from(other.is_multiple_of(5)),
        max_instances: (!other.is_multiple_of(3)).then_some(max),
        batch_size: if other % 7 == 6 { max.min(2) } else { 1 },
        priority: (other % 3) as u32,
        resources: Resources { cpu: if other % 17 == 2 { 6 } else { 1 + other % 2 }, memory: 1, gpu: 0 },
        retention: match other % 8 {
            1 => Retention { closed: ClosedRetention::default(), ..retention(other) },
            3 => Retention {
                closed: ClosedRetention { age_ms: Some(other % 5_000), ..ClosedRetention::default() },
                ..Retention::default()
            },
            5 => retention(other),
            _ => Retention::default(),
        },
        retry: if other % 4 == 2 { retries(other) } else { Retries::default() },
        task_timeout_ms: (other % 10 == 4).then_some(1 + other % 3_000),
        common_data: other.is_multiple_of(11).then(|| Payload::from("data")),
        ..SessionSpec::new(app_name(other / 2))
    }
}

fn create(which: u64, other: u64) -> Command {
    Command::Create { id: session_id(which), spec: Box::new(spec(other)) }
}

fn open(which: u64, other: u64) -> Command {
    Command::Open { id: session_id(which), spec: (!other.is_multiple_of(3)).then(|| Box::new(spec(other))) }
}

fn submit(which: u64, other: u64) -> Command {
    let inputs = match other % 5 {
        0 => Inputs::Array { count: 1 + other % 1000, input: None },
        count => Inputs::Each(vec![Some(Payload::from("x")); count as usize]),
    };
    let options = TaskOptions {
        priority: if other % 4 == 1 { (other % 5) as i32 - 2 } else { 0 },
        timeout_ms: (other % 9 == 4).then_some(1 + other % 3_000),
        affinity: if other % 6 == 3 { vec![vec![(other % 2) as u8]] } else { Vec::new() },
    };
    let idempotency_key = (other % 10 == 7).then_some([(other % 3) as u8; 16]);
    Command::Submit(Box::new(Submit { session: session_id(which), inputs, options, idempotency_key }))
}

/// A task that was given out as the leader would, or as one that has seen another state.
fn lone(state: &State, which: u64, other: u64) -> Command {
    let Command::Submit(submit) = submit(which, other - other % 5 + 1) else { unreachable!("it is a submit") };
    let next = state.cluster().next_token;
    let executor = pick(state.executors(), other).map(|(key, _)| *key);
    let ahead = match other % 4 {
        0 => None,
        1 => executor.map(|executor| Ahead { token: Token(next.0.saturating_sub(other % 2)), executor }),
        _ => state.foresee(&submit).map(|foreseen| foreseen.ahead),
    };
    Command::Lone { submit, ahead }
}

/// Mostly a worker that tells the truth; sometimes one that has lost or learned something.
fn hello(state: &State, which: u64, other: u64) -> Hello {
    let name = node(which);
    let known = state.nodes().get(&name);
    let mut incarnation = known.map_or(Incarnation { started_ms: 1, nonce: 0 }, |node| node.row.incarnation);
    let hello = HelloNo(known.map_or(1, |node| node.row.hello.0 + 1));
    match other % 16 {
        0 => incarnation.started_ms += 1,
        1 => incarnation.started_ms = incarnation.started_ms.saturating_sub(1),
        _ => {}
    }
    let mut executors = Vec::new();
    let mut listed = Vec::new();
    for (key, executor) in state.executors().iter().filter(|(_, executor)| executor.row.node == name) {
        if other % 5 == 2 && key.0 % 2 == 0 {
            continue;
        }
        let told = executor.row.state != ExecutorState::Void || key.0 % 2 == 1;
        if told {
            let ready = executor.row.state == ExecutorState::Bound || other.is_multiple_of(3);
            let session = SessionKey(executor.row.session.0 + u64::from(other % 13 == 5));
            let resources = executor.row.resources;
            executors.push(HeldExecutor { executor: *key, session, ready, resources, attributes: vec![vec![1]] });
        }
        listed.extend(executor.queue.iter().filter(|token| other % 4 != 3 || token.0 % 2 == 0));
    }
    if other % 9 == 8 {
        let resources = Resources { cpu: 1, memory: 1, gpu: 0 };
        let session = SessionKey(1);
        let executor = ExecutorKey(500 + other % 3);
        executors.push(HeldExecutor { executor, session, ready: true, resources, attributes: Vec::new() });
        listed.push(Token(other % 30));
    }
    let host = Host { name: if other % 17 == 3 { "elsewhere".into() } else { "here".into() }, ..Host::default() };
    Hello {
        node: name,
        incarnation,
        hello: if other % 16 == 2 { HelloNo(0) } else { hello },
        host,
        capacity: Resources { cpu: if other % 11 == 1 { 8 } else { 4 }, memory: 100, gpu: 0 },
        shims: if other % 13 == 1 { vec![Shim::Host, Shim::Wasm] } else { vec![Shim::Host] },
        seen: Token(0),
        executors,
        tokens: listed,
    }
}

fn complete(state: &State, which: u64, other: u64) -> Command {
    let held = pick(state.assignments(), which);
    let holder = held.and_then(|(_, row)| state.executors().get(&row.executor)).map(|found| found.row.node.clone());
    let token = held.map_or(Token(other % 30), |(token, _)| *token);
    let outcome = match other % 4 {
        0 => Outcome::Failed { output: None, message: Some("no".into()) },
        _ => Outcome::Succeed { output: Some(Payload::from("yes")), message: None },
    };
    let publish = if other % 8 == 1 { vec![vec![(other % 2) as u8]] } else { Vec::new() };
    let attributes = Attributes { publish, retract: Vec::new() };
    let mut done = vec![Completion {
        token,
        outcome,
        ran_us: other * 7 % if other.is_multiple_of(2) { 300 } else { 50_000 },
        attributes,
    }];
    if other % 16 == 5 {
        let twice = done[0].clone();
        done.push(twice);
    }
    let node = if other % 32 == 9 { node(which) } else { holder.unwrap_or_else(|| node(which)) };
    Command::Complete { node, done }
}

fn ready(state: &State, which: u64, other: u64) -> Command {
    let starting: Vec<_> = state
        .executors()
        .values()
        .filter(|executor| matches!(executor.row.state, ExecutorState::Void | ExecutorState::Binding))
        .collect();
    let executor = starting.get(usize::try_from(which).unwrap() % starting.len().max(1));
    let executor = executor.copied().or_else(|| pick(state.executors(), which).map(|(_, found)| found));
    let (key, on, session) = executor.map_or((ExecutorKey(1), node(which), SessionKey(1)), |executor| {
        (executor.row.key, executor.row.node.clone(), executor.row.session)
    });
    let present = state.nodes().get(&on).map_or(0, |node| node.row.epoch.0);
    let publish = vec![vec![(other % 2) as u8]];
    Command::ExecutorReady {
        node: on,
        epoch: Epoch(present.saturating_sub(u64::from(other.is_multiple_of(16)))),
        executor: key,
        session: SessionKey(session.0 + u64::from(other % 16 == 7)),
        attributes: Attributes { publish, retract: Vec::new() },
    }
}

/// An executor, its node and the present lease of that.
fn reporter(state: &State, which: u64) -> (ExecutorKey, NodeName, Epoch, Vec<Token>) {
    let (key, on, queue) = pick(state.executors(), which).map_or((ExecutorKey(1), node(which), Vec::new()), |found| {
        (*found.0, found.1.row.node.clone(), found.1.queue.iter().copied().collect())
    });
    let epoch = Epoch(state.nodes().get(&on).map_or(0, |node| node.row.epoch.0));
    (key, on, epoch, queue)
}

fn failed(state: &State, which: u64, other: u64) -> Command {
    let (executor, node, epoch, started) = reporter(state, which);
    let message = "broken".to_string();
    let cause = match other % 2 {
        0 => FailureCause::Bind { return_code: 12, message },
        _ => FailureCause::Crashed { message },
    };
    let started = if other.is_multiple_of(3) { Vec::new() } else { started };
    Command::ExecutorFailed { node, epoch, executor, started, cause }
}

fn left(state: &State, which: u64, other: u64) -> Command {
    let releasing = state.executors().values().find(|executor| executor.row.state == ExecutorState::Releasing);
    let (mut executor, mut node, mut epoch, _) = reporter(state, which);
    if let (Some(found), true) = (releasing, !other.is_multiple_of(8)) {
        executor = found.row.key;
        node = found.row.node.clone();
        epoch = Epoch(state.nodes()[&node].row.epoch.0);
    }
    Command::ExecutorLeft { node, epoch, executor }
}

/// What the planner says, or something near it.
fn planned(state: &State, which: u64, other: u64) -> Command {
    let plan = flame_machine::schedule::plan(state);
    if !plan.is_empty() && !other.is_multiple_of(4) {
        return plan[usize::try_from(which).unwrap() % plan.len()].clone();
    }
    let session = session_key(state, which);
    let known = state.sessions().get(&session);
    if other.is_multiple_of(3)
        && let Some((executor, found)) = pick(state.executors(), which)
    {
        let late = u64::from(other.is_multiple_of(12));
        return Command::Release { executor: *executor, epoch: Epoch(found.row.epoch.0.saturating_sub(late)) };
    }
    Command::Place {
        node: node(other),
        session,
        resources: known.map_or(Resources::FALLBACK, |session| session.asked.spec.resources),
        have: known.map_or(0, |session| session.executors.len() as u32) + u32::from(other % 16 == 1),
        count: 1 + (other % 2) as u32,
        reuse: None,
    }
}
