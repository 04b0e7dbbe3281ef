//! The language of scenario files: one line is one command, `verb argument… key=value…`.

use std::collections::BTreeMap;

use flame_machine::command::{
    Ahead, Attributes, CacheHello, Completion, FailureCause, HeldExecutor, HeldObject, Hello, Host, Inputs, LeaseEnd,
    ObjectsChanged, Outcome, Submit, Trim, WaitReason,
};
use flame_machine::config::NodeAvoidance;
use flame_machine::{ClusterConfig, Command, ObjectsConfig, State};
use flame_types::{
    AppName, AppSpec, ClientId, ClosedRetention, ClusterMs, CoordinatorId, DataType, Epoch, ExecutorKey, Generation,
    HelloNo, Incarnation, LogIndex, NodeName, ObjectKey, ObjectTarget, ObjectVersion, Payload, Position, Resources,
    Retention, Retries, Retry, Seq, SessionId, SessionKey, SessionSpec, Shim, TaskNo, TaskOptions, TaskRetention,
    Token, WallMs,
};

/// A line, taken apart.
pub struct Line<'l> {
    verb: &'l str,
    arguments: Vec<&'l str>,
    options: BTreeMap<&'l str, &'l str>,
}

impl<'l> Line<'l> {
    pub fn parse(text: &'l str) -> Self {
        let mut words = text.split_whitespace();
        let verb = words.next().expect("a line has a verb");
        let (mut arguments, mut options) = (Vec::new(), BTreeMap::new());
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => drop(options.insert(key, value)),
                None => arguments.push(word),
            }
        }
        Self { verb, arguments, options }
    }

    fn word(&self, place: usize) -> &'l str {
        self.arguments.get(place).copied().unwrap_or_else(|| panic!("{} lacks argument {place}", self.verb))
    }

    fn number(&self, place: usize) -> u64 {
        self.word(place).parse().unwrap_or_else(|_| panic!("{}: {} is no number", self.verb, self.word(place)))
    }

    fn option<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        let text = self.options.get(key)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{}: bad {key}={text}", self.verb)))
    }

    fn list(&self, key: &str) -> Vec<&'l str> {
        self.options.get(key).map(|text| text.split(',').collect()).unwrap_or_default()
    }

    fn keys(&self, key: &str) -> Vec<Vec<u8>> {
        self.list(key).into_iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn tokens(&self, from: usize) -> Vec<Token> {
        (from..self.arguments.len()).map(|place| Token(self.number(place))).collect()
    }

    fn has(&self, word: &str) -> bool {
        self.arguments.contains(&word)
    }

    fn node(&self, place: usize) -> NodeName {
        NodeName::parse(self.word(place)).expect("a node name")
    }

    fn session_id(&self, place: usize) -> SessionId {
        SessionId::parse(self.word(place)).expect("a session id")
    }

    fn app(&self, place: usize) -> AppName {
        AppName::parse(self.word(place)).expect("an application name")
    }
}

/// The command of a line. Epochs that are not given are those of the state: a report that is not late.
pub fn command(state: &State, line: &Line<'_>) -> Command {
    let by_others = || worker_command(state, line).or_else(|| cache_command(state, line));
    user_command(state, line).or_else(by_others).unwrap_or_else(|| leader_command(state, line))
}

fn user_command(state: &State, line: &Line<'_>) -> Option<Command> {
    Some(match line.verb {
        "register" => Command::Register { name: line.app(0), spec: Box::new(app_spec(line)) },
        "update" => Command::Update { name: line.app(0), spec: Box::new(app_spec(line)) },
        "unregister" => Command::Unregister { name: line.app(0) },
        "builtins" => {
            let names = (1..line.arguments.len()).map(|place| line.app(place));
            let apps = names.map(|name| (name, app_spec(line))).collect();
            Command::InstallBuiltins { version: line.number(0) as u32, apps }
        }
        "create" => Command::Create { id: line.session_id(0), spec: Box::new(session_spec(line)) },
        "open" => {
            let spec = line.options.contains_key("app").then(|| Box::new(session_spec(line)));
            Command::Open { id: line.session_id(0), spec }
        }
        "close" => Command::Close { id: line.session_id(0), force: line.has("force") },
        "suspend" => Command::Suspend { id: line.session_id(0) },
        "resume" => Command::Resume { id: line.session_id(0) },
        "delete" => Command::Delete { id: line.session_id(0) },
        "expire" => {
            let keys = (0..line.arguments.len()).map(|place| SessionKey(line.number(place)));
            Command::Expire { sessions: keys.collect() }
        }
        "submit" => Command::Submit(Box::new(submit(line))),
        "lone" => {
            let submit = Box::new(submit(line));
            let ahead = line.option::<String>("ahead").and_then(|text| match text.split_once(':') {
                Some((token, executor)) => {
                    let number = |text: &str| text.parse().expect("ahead=TOKEN:EXECUTOR");
                    Some(Ahead { token: Token(number(token)), executor: ExecutorKey(number(executor)) })
                }
                None => state.foresee(&submit).map(|foreseen| foreseen.ahead),
            });
            Command::Lone { submit, ahead }
        }
        "cancel" => Command::Cancel { session: line.session_id(0), task: TaskNo(line.number(1)) },
        "cordon" => Command::Cordon { node: line.node(0), on: line.word(1) == "on" },
        "drain" => Command::Drain { node: line.node(0) },
        "delete-objects" => Command::ObjectsDelete { target: ObjectTarget::parse(line.word(0)).expect("a target") },
        _ => {
            let _ = state;
            return None;
        }
    })
}

fn worker_command(state: &State, line: &Line<'_>) -> Option<Command> {
    Some(match line.verb {
        "hello" => Command::Hello(Box::new(hello(line))),
        "complete" => Command::Complete { node: line.node(0), done: completions(line) },
        "return" => Command::Return { node: line.node(0), epoch: epoch(state, line), tokens: line.tokens(1) },
        "started" => Command::Started { node: line.node(0), epoch: epoch(state, line), tokens: line.tokens(1) },
        "ready" => Command::ExecutorReady {
            node: line.node(0),
            epoch: epoch(state, line),
            executor: ExecutorKey(line.number(1)),
            session: SessionKey(line.number(2)),
            attributes: attributes(line),
        },
        "failed" => {
            let message = line.options.get("message").copied().unwrap_or("it broke").replace('_', " ");
            let cause = match line.option("bind") {
                Some(return_code) => FailureCause::Bind { return_code, message },
                None => FailureCause::Crashed { message },
            };
            let started = line.list("started").into_iter().map(|text| Token(text.parse().expect("a token"))).collect();
            let (node, epoch) = (line.node(0), epoch(state, line));
            Command::ExecutorFailed { node, epoch, executor: ExecutorKey(line.number(1)), started, cause }
        }
        "left" => {
            let (node, epoch) = (line.node(0), epoch(state, line));
            Command::ExecutorLeft { node, epoch, executor: ExecutorKey(line.number(1)) }
        }
        _ => return None,
    })
}

fn cache_command(state: &State, line: &Line<'_>) -> Option<Command> {
    Some(match line.verb {
        "cache" => Command::CacheHello(Box::new(CacheHello {
            cache: line.node(0),
            incarnation: Incarnation { started_ms: line.option("inc").unwrap_or(1), nonce: 0 },
            hello: HelloNo(line.option("hello").unwrap_or(1)),
            host: Host { name: line.option("host").unwrap_or("h1".to_string()), ..Host::default() },
            endpoint: line.option("at").unwrap_or_else(|| format!("grpc://{}:9090", line.word(0))),
            memory_bytes: line.option("memory").unwrap_or(1_000),
            disk_bytes: line.option("disk").unwrap_or(10_000),
        })),
        "remove-cache" => Command::CacheRemove { cache: line.node(0) },
        "detach-cache" => Command::CacheDetach { cache: line.node(0), epoch: cache_epoch(state, line) },
        "expire-cache" => {
            let end = if line.has("goodbye") { LeaseEnd::Goodbye } else { LeaseEnd::RanOut };
            Command::CacheExpire { cache: line.node(0), epoch: cache_epoch(state, line), end }
        }
        "has" => {
            let (cache, epoch) = (line.node(0), cache_epoch(state, line));
            let gone = line.list("gone").into_iter().map(version_of).collect();
            let held = line.arguments[1..].iter().filter(|word| word.contains('@'));
            let held = held.map(|text| held_object(state, line, text)).collect();
            Command::ObjectsChanged(Box::new(ObjectsChanged { cache, epoch, held, gone }))
        }
        "sweep" => Command::ObjectsSweep,
        _ => return None,
    })
}

fn cache_epoch(state: &State, line: &Line<'_>) -> Epoch {
    let known = state.directory().cache(line.word(0)).map_or(0, |cache| cache.row.epoch.0);
    Epoch(line.option("epoch").unwrap_or(known))
}

/// `KEY@VERSION`
fn version_of(text: &str) -> (ObjectKey, ObjectVersion) {
    let (key, version) = text.rsplit_once('@').expect("KEY@VERSION");
    (ObjectKey::parse(key).expect("a key"), ObjectVersion(version.parse().expect("a version")))
}

/// `KEY@VERSION` with `size=` and `type=`; the words `recorded` and `acknowledged` speak of all of a line, and
/// `recorded=GENERATION` of an earlier generation.
fn held_object(state: &State, line: &Line<'_>, text: &str) -> HeldObject {
    let (key, version) = version_of(text);
    let recorded = line.option("recorded").map(Generation);
    HeldObject {
        key,
        version,
        size: line.option("size").unwrap_or(10),
        data_type: DataType::parse(line.options.get("type").copied().unwrap_or("raw")).expect("a data type"),
        created: WallMs(1_000),
        recorded: recorded.or(line.has("recorded").then(|| state.generation())),
        acknowledged: line.has("acknowledged"),
        copies: line.option("copies").unwrap_or(0),
    }
}

fn leader_command(state: &State, line: &Line<'_>) -> Command {
    match line.verb {
        "leader" => Command::LeaderStart { leader: CoordinatorId(1) },
        "detach" => Command::Detach { node: line.node(0), epoch: epoch(state, line) },
        "expire-node" => {
            let end = if line.has("goodbye") { LeaseEnd::Goodbye } else { LeaseEnd::RanOut };
            Command::ExpireNode { node: line.node(0), epoch: epoch(state, line), end }
        }
        "place" => place(state, line),
        "release" => {
            let executor = ExecutorKey(line.number(0));
            let known = state.executors().get(&executor).map_or(0, |executor| executor.row.epoch.0);
            Command::Release { executor, epoch: Epoch(line.option("epoch").unwrap_or(known)) }
        }
        "recall" => Command::Recall { tokens: line.tokens(0) },
        "waiting" => {
            let reason = match line.word(1) {
                "busy" => Some(WaitReason::Busy),
                "no-workers" => Some(WaitReason::NoWorkers),
                "no-shim" => Some(WaitReason::NoShim { shim: Shim::Wasm }),
                _ => None,
            };
            Command::Waiting { session: SessionKey(line.number(0)), reason }
        }
        "tick" => Command::Tick,
        "client" => {
            Command::RegisterClient { nonce: line.number(0).into(), gateway: line.option("gateway").map(CoordinatorId) }
        }
        "end-client" => Command::EndClient { client: ClientId(line.number(0)) },
        "expire-client" => Command::ExpireClient { client: ClientId(line.number(0)), last: Seq(line.number(1)) },
        "void" => Command::Void,
        "config" => Command::SetConfig(Box::new(config(state, line))),
        "trim" => Command::Trim(Box::new(trim(state, line))),
        "disk-short" => Command::DiskShort { on: line.word(0) == "on" },
        "level" => Command::SetFeatureLevel { level: line.number(0) as u32 },
        "generation" => Command::NewGeneration { nonce: line.number(0).into() },
        other => panic!("unknown verb {other}"),
    }
}

fn epoch(state: &State, line: &Line<'_>) -> Epoch {
    let known = state.nodes().get(line.word(0)).map_or(0, |node| node.row.epoch.0);
    Epoch(line.option("epoch").unwrap_or(known))
}

fn app_spec(line: &Line<'_>) -> AppSpec {
    let shim = match line.options.get("shim") {
        Some(&"wasm") => Shim::Wasm,
        Some(&"cri") => Shim::Cri,
        _ => Shim::Host,
    };
    let default = AppSpec::default();
    AppSpec {
        shim,
        max_instances: line.option("max").unwrap_or(default.max_instances),
        delay_release_seconds: line.option("delay").unwrap_or(default.delay_release_seconds),
        working_directory: line.option("dir"),
        command: line.option("command"),
        retention: retention(line).unwrap_or_default(),
        retry: retries(line),
        task_timeout_ms: line.option("task-timeout"),
        ..default
    }
}

fn session_spec(line: &Line<'_>) -> SessionSpec {
    let app = line.options.get("app").copied().unwrap_or("app");
    SessionSpec {
        common_data: line.options.get("common").map(|text| Payload::from(text.as_bytes().to_vec())),
        min_instances: line.option("min").unwrap_or(0),
        max_instances: line.option("max"),
        batch_size: line.option("batch").unwrap_or(1),
        priority: line.option("prio").unwrap_or(0),
        resources: resources(line).unwrap_or(Resources::ZERO),
        tokens: line.options.get("secret").map(|text| ("s".to_string(), text.to_string())).into_iter().collect(),
        retry: retries(line),
        retention: retention(line).unwrap_or_default(),
        task_timeout_ms: line.option("task-timeout"),
        ..SessionSpec::new(AppName::parse(app).expect("an application name"))
    }
}

/// What a line says of retries: most starts as `losses=`, `crashes=`, `refusals=`, `fails=`, waits as `fails-wait=` and
/// `fails-wait-max=`.
fn retries(line: &Line<'_>) -> Retries {
    let retry = |starts: &str| Retry {
        starts_max: line.option(starts),
        backoff_ms: line.option(&format!("{starts}-wait")),
        backoff_ms_max: line.option(&format!("{starts}-wait-max")),
    };
    Retries { lost: retry("losses"), crashed: retry("crashes"), refused: retry("refusals"), failed: retry("fails") }
}

/// What a line says of retention, if anything.
fn retention(line: &Line<'_>) -> Option<Retention> {
    let retention = Retention {
        tasks: TaskRetention {
            age_ms: line.option("task-age"),
            age_ms_min: line.option("task-age-min"),
            count: line.option("task-count"),
            bytes: line.option("task-bytes"),
        },
        closed: ClosedRetention {
            age_ms: line.option("closed-age"),
            count: line.option("closed"),
            bytes: line.option("closed-bytes"),
        },
    };
    (!retention.is_default()).then_some(retention)
}

/// `trim SESSION FROM TO tasks=1-3,5-5 [submits=1-3] [bytes=N] [newest=MS]`; positions are of the present generation.
fn trim(state: &State, line: &Line<'_>) -> Trim {
    let ranges = |key: &str| {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').expect("a range like 1-3");
            (TaskNo(first.parse().expect("a task")), TaskNo(last.parse().expect("a task")))
        };
        line.list(key).into_iter().map(range).collect()
    };
    let position = |place| Position { generation: state.generation(), index: LogIndex(line.number(place)) };
    Trim {
        session: SessionKey(line.number(0)),
        from: position(1),
        to: position(2),
        tasks: ranges("tasks"),
        submits: ranges("submits"),
        bytes: line.option("bytes").unwrap_or(0),
        newest: ClusterMs(line.option("newest").unwrap_or(0)),
        oldest_left: state.now(),
    }
}

/// `cpu=N [mem=GIBIBYTES] [gpu=N]`; as many gibibytes of memory as processors when nothing is said of it.
fn resources(line: &Line<'_>) -> Option<Resources> {
    let cpu: u64 = line.option("cpu")?;
    let memory = line.option("mem").unwrap_or(cpu) * flame_types::resources::GIB;
    Some(Resources { cpu, memory, gpu: line.option("gpu").unwrap_or(0) })
}

fn submit(line: &Line<'_>) -> Submit {
    let count = line.number(1);
    let input = Some(Payload::from(line.options.get("input").copied().unwrap_or("x").as_bytes().to_vec()));
    let inputs =
        if line.has("array") { Inputs::Array { count, input } } else { Inputs::Each(vec![input; count as usize]) };
    let idempotency_key = line.option::<u8>("key").map(|byte| [byte; 16]);
    let options = TaskOptions {
        affinity: line.keys("affinity"),
        priority: line.option("prio").unwrap_or(0),
        timeout_ms: line.option("timeout"),
    };
    Submit { session: line.session_id(0), inputs, options, idempotency_key }
}

fn hello(line: &Line<'_>) -> Hello {
    let executor = |text: &str| {
        let parts: Vec<&str> = text.split(':').collect();
        HeldExecutor {
            executor: ExecutorKey(parts[0].parse().expect("an executor")),
            session: SessionKey(parts[1].parse().expect("a session")),
            ready: parts.get(2) == Some(&"ready"),
            resources: Resources::FALLBACK,
            attributes: Vec::new(),
        }
    };
    let shims = line.list("shims").into_iter().map(|text| if text == "wasm" { Shim::Wasm } else { Shim::Host });
    let mut shims: Vec<Shim> = shims.collect();
    if shims.is_empty() {
        shims.push(Shim::Host);
    }
    let host = Host { name: line.option("host").unwrap_or("h1".to_string()), ..Host::default() };
    Hello {
        node: line.node(0),
        incarnation: Incarnation { started_ms: line.option("inc").unwrap_or(1), nonce: 0 },
        hello: HelloNo(line.option("hello").unwrap_or(1)),
        host,
        capacity: resources(line).unwrap_or(Resources { cpu: 4, memory: 4 * flame_types::resources::GIB, gpu: 0 }),
        shims,
        seen: Token(line.option("seen").unwrap_or(0)),
        executors: line.list("executors").into_iter().map(executor).collect(),
        tokens: line.list("tokens").into_iter().map(|text| Token(text.parse().expect("a token"))).collect(),
    }
}

/// `TOKEN` or `TOKEN:fail` or `TOKEN:fail:message`.
fn completions(line: &Line<'_>) -> Vec<Completion> {
    let completion = |text: &&str| {
        let parts: Vec<&str> = text.split(':').collect();
        let message = parts.get(2).map(|text| text.replace('_', " "));
        let output = Some(Payload::from("done"));
        let outcome = match parts.get(1) {
            Some(&"fail") => Outcome::Failed { output: None, message },
            _ => Outcome::Succeed { output, message },
        };
        Completion {
            token: Token(parts[0].parse().expect("a token")),
            outcome,
            ran_us: line.option("ran").unwrap_or(1_000),
            attributes: attributes(line),
        }
    };
    line.arguments[1..].iter().map(completion).collect()
}

fn attributes(line: &Line<'_>) -> Attributes {
    Attributes { publish: line.keys("publish"), retract: line.keys("retract") }
}

fn place(state: &State, line: &Line<'_>) -> Command {
    let session = SessionKey(line.number(1));
    let known = state.sessions().get(&session);
    let reuse = line.option("reuse").map(|key| {
        let key = ExecutorKey(key);
        let epoch = state.executors().get(&key).map_or(0, |executor| executor.row.epoch.0);
        (key, Epoch(line.option("epoch").unwrap_or(epoch)))
    });
    let asked = || known.map_or(Resources::FALLBACK, |session| session.asked.spec.resources);
    let resources = resources(line).unwrap_or_else(asked);
    Command::Place {
        node: line.node(0),
        session,
        resources,
        have: line.option("have").unwrap_or(known.map_or(0, |session| session.executors.len() as u32)),
        count: line.option("count").unwrap_or(1),
        reuse,
    }
}

fn config(state: &State, line: &Line<'_>) -> ClusterConfig {
    let present = state.cluster().config.clone();
    ClusterConfig {
        prefetch_max: line.option("prefetch").unwrap_or(present.prefetch_max),
        retry: retries(line).or(present.retry),
        avoidance: NodeAvoidance {
            failures: line.option("avoid-after").unwrap_or(present.avoidance.failures),
            backoff_ms: line.option("avoid").unwrap_or(present.avoidance.backoff_ms),
            backoff_ms_max: line.option("avoid-max").unwrap_or(present.avoidance.backoff_ms_max),
        },
        client_window_max: line.option("window").unwrap_or(present.client_window_max),
        gang_patience_ms: line.option("patience").unwrap_or(present.gang_patience_ms),
        retention: retention(line).map_or(present.retention, |retention| Retention {
            tasks: retention.tasks.or(present.retention.tasks),
            closed: ClosedRetention {
                age_ms: retention.closed.age_ms.or(present.retention.closed.age_ms),
                count: retention.closed.count.or(present.retention.closed.count),
                bytes: retention.closed.bytes.or(present.retention.closed.bytes),
            },
        }),
        requests_max: line.option("requests").unwrap_or(present.requests_max),
        kept_bytes_max: line.option("total-bytes").unwrap_or(present.kept_bytes_max),
        objects: ObjectsConfig {
            copies: line.option("copies").unwrap_or(present.objects.copies),
            session_copies: line.option("session-copies").unwrap_or(present.objects.session_copies),
            app_bytes_max: line.option("app-bytes").unwrap_or(present.objects.app_bytes_max),
        },
        ..present
    }
}
