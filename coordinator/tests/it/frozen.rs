//! The log format, frozen: entries that a release has written are read for ever, and mean what they meant.
//!
//! `testdata/frozen/level-1.txt` holds entries as hexadecimal bytes, one a line, that together use every command, and
//! the digest of the state they lead to. The file is never edited; a new feature level adds a file of its own. If this
//! test fails, the format or the meaning of the log has changed: add a variant at the end instead, or gate the new
//! behaviour by the feature level.

use bytes::Bytes;
use flame_coordinator::consensus::{BatchHeader, decode_entry, encode_entry};
use flame_machine::command::{
    Ahead, Attributes, Batch, CacheHello, Command, Completion, FailureCause, HeldExecutor, HeldObject, Hello, Host,
    Inputs, Item, LeaseEnd, ObjectsChanged, Outcome, Submit, Trim, WaitReason,
};
use flame_machine::{ClusterConfig, Ctx, State, digest, view};
use flame_storage::codec;
use flame_types::{
    AppName, AppSpec, ClientId, ClosedRetention, ClusterMs, CoordinatorId, DataType, Epoch, ExecutorKey, Generation,
    HelloNo, Incarnation, LogIndex, NodeName, ObjectKey, ObjectTarget, ObjectVersion, Payload, Position, RequestId,
    RequestNo, Resources, Retention, Retries, Retry, Schema, Seq, SessionId, SessionKey, SessionSpec, Shim, TaskNo,
    TaskOptions, TaskRetention, Term, Token, WallMs,
};

const LEVEL_1: &str = include_str!("../../testdata/frozen/level-1.txt");

#[test]
fn entries_of_level_1_keep_their_bytes_and_their_meaning() {
    let written: Vec<String> = history().iter().map(|batch| hex(&encode(batch))).collect();
    let digest = format!("digest {:032x}", apply(history()));
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{}\n{digest}\n", written.join("\n"));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/frozen/level-1.txt");
        std::fs::write(path, text).expect("the file can be written");
        return;
    }
    let (frozen, expected): (Vec<&str>, Vec<&str>) = LEVEL_1.lines().partition(|line| !line.starts_with("digest "));
    assert_eq!(written, frozen, "an entry is written in other bytes than before");
    let read = frozen.iter().map(|line| decode_entry(unhex(line)).expect("an old entry can be read"));
    assert_eq!(format!("digest {:032x}", apply(read.collect())), expected[0], "an old log leads to another state");
}

#[test]
fn the_frozen_history_uses_every_command() {
    let shown = format!("{:?}", history());
    for command in [
        "Register",
        "Update",
        "Unregister",
        "InstallBuiltins",
        "Create",
        "Open",
        "Close",
        "Suspend",
        "Resume",
        "Delete",
        "Expire",
        "Submit",
        "Cancel",
        "Hello",
        "Complete",
        "Return",
        "Started",
        "ExecutorReady",
        "ExecutorFailed",
        "ExecutorLeft",
        "Cordon",
        "Drain",
        "LeaderStart",
        "Detach",
        "ExpireNode",
        "Place",
        "Release",
        "Recall",
        "Waiting",
        "Tick",
        "RegisterClient",
        "EndClient",
        "ExpireClient",
        "Void",
        "SetConfig",
        "SetFeatureLevel",
        "NewGeneration",
        "Trim",
        "DiskShort",
        "Once",
        "CacheHello",
        "CacheDetach",
        "CacheExpire",
        "ObjectsChanged",
        "ObjectsDelete",
        "ObjectsSweep",
        "CacheRemove",
        "Lone",
    ] {
        assert!(shown.contains(command), "{command}");
    }
}

#[test]
fn the_frozen_history_trims() {
    let state = applied(history());
    let session = view::session(&state, SessionKey(1)).expect("it is closed and remembered");
    assert_eq!((session.trimmed, session.done_from.index), (1, LogIndex(2)));
}

fn apply(batches: Vec<Batch>) -> u128 {
    digest::digest(&applied(batches))
}

fn applied(batches: Vec<Batch>) -> State {
    let mut state = State::new();
    for (batch, index) in batches.into_iter().zip(1..) {
        state.apply(Ctx { index: LogIndex(index), term: Term(1) }, batch);
    }
    state
}

fn encode(batch: &Batch) -> Bytes {
    let header = BatchHeader { wall_ms: batch.wall_ms, cluster_delta_ms: batch.cluster_delta_ms };
    let items: Vec<Bytes> = batch.items.iter().map(codec::encode).collect();
    encode_entry(&header, &items)
}

pub(crate) fn history() -> Vec<Batch> {
    let groups = [applications(), sessions_and_tasks(), workers(), results(), upkeep(), trimmed(), the_end()];
    let batch = |(number, commands): (i64, Vec<Command>)| Batch {
        wall_ms: WallMs(1_700_000_000_000 + number * 1000),
        cluster_delta_ms: 100,
        items: commands.into_iter().map(unnumbered).collect(),
    };
    let mut batches: Vec<Batch> = (0..).zip(groups).map(batch).collect();
    batches.push(numbered());
    batches.push(batch((99, vec![Command::SetFeatureLevel { level: 1 }])));
    // Commands that came later stand behind, so that the lines before them stay as they are.
    let late = Command::Register { name: app("late"), spec: Box::default() };
    batches.push(batch((100, vec![Command::DiskShort { on: true }, late])));
    let once = |id: u8, seen: u64, command: Command| Command::Once {
        request: RequestId([id; 16]),
        seen: RequestNo(seen),
        command: Box::new(command),
    };
    let create = || Command::Create { id: session("s-10"), spec: Box::new(SessionSpec::new(app("plain"))) };
    let input = || Inputs::Each(vec![Some(Payload::from("once"))]);
    let task = || submit("s-10", input(), TaskOptions::default(), None);
    let now = (1 << 40) + 1;
    let repeated = vec![
        Command::DiskShort { on: false },
        once(1, now, create()),
        once(1, now, create()),
        once(2, now, task()),
        once(2, now, task()),
        once(3, now, Command::Suspend { id: session("s-10") }),
        once(4, 1, Command::Resume { id: session("s-10") }),
    ];
    batches.push(batch((101, repeated)));
    batches.push(batch((102, cached())));
    let (token, executor) = (applied(batches.clone()).cluster().next_token, ExecutorKey(1));
    let lone = |ahead, key| match submit("s-10", input(), TaskOptions::default(), Some([key; 16])) {
        Command::Submit(submit) => Command::Lone { submit, ahead },
        other => other,
    };
    let given_out = lone(Some(Ahead { token, executor }), 1);
    batches.push(batch((103, vec![given_out, lone(None, 2), Command::CacheRemove { cache: worker("c3") }])));
    batches
}

/// Two cache nodes, an object with each of the ways it can stand, and a deletion of so many that some are left.
fn cached() -> Vec<Command> {
    let hello = |name: &str| {
        Command::CacheHello(Box::new(CacheHello {
            cache: worker(name),
            incarnation: Incarnation { started_ms: 5, nonce: 6 },
            hello: HelloNo(1),
            host: Host { name: "host".into(), boot_id: "boot".into(), arch: "x86_64".into(), os: "linux".into() },
            endpoint: format!("grpc://{name}:9090"),
            memory_bytes: 1 << 30,
            disk_bytes: 64 << 30,
        }))
    };
    let epoch = |add: u64| Epoch((1 << 40) + 6 + add);
    let held = |key: &str, version: u64, recorded: Option<Generation>| HeldObject {
        key: ObjectKey::parse(key).expect("a good key"),
        version: ObjectVersion(version),
        size: 100,
        data_type: DataType::parse("raw").expect("a good name"),
        created: WallMs(1_700_000_000_000),
        recorded,
        acknowledged: true,
        copies: 0,
    };
    let report = |cache: &str, epoch: Epoch, held: Vec<HeldObject>, gone: Vec<(ObjectKey, ObjectVersion)>| {
        Command::ObjectsChanged(Box::new(ObjectsChanged { cache: worker(cache), epoch, held, gone }))
    };
    let lost = (ObjectKey::parse("plain/s-10/lost").expect("a good key"), ObjectVersion(1));
    let many = (0..600).map(|at| held(&format!("plain/s-11/{at}"), 1, None)).collect();
    let delete = |target: &str| Command::ObjectsDelete { target: ObjectTarget::parse(target).expect("a good target") };
    vec![
        hello("c1"),
        hello("c2"),
        report("c1", epoch(0), vec![held("plain/shared/o", 1, None), held("plain/s-10/lost", 1, None)], vec![]),
        report("c2", epoch(1), vec![held("plain/shared/o", 1, Some(Generation(1)))], vec![]),
        report("c1", epoch(0), vec![held("plain/s-10/o", 3, None), held("plain/s-10/gone", 1, None)], vec![lost]),
        report("c2", epoch(1), many, vec![]),
        delete("plain/s-10/gone"),
        delete("plain/s-11"),
        Command::ObjectsSweep,
        report("c2", epoch(1), (0..600).map(|at| held(&format!("plain/s-12/{at}"), 1, None)).collect(), vec![]),
        delete("plain/s-12"),
        Command::CacheDetach { cache: worker("c2"), epoch: epoch(1) },
        Command::CacheExpire { cache: worker("c2"), epoch: epoch(1), end: LeaseEnd::RanOut },
    ]
}

#[test]
fn the_frozen_history_has_objects_that_are_there_lost_and_deleted() {
    let state = applied(history());
    let found = |key: &str| view::object(&state, &ObjectKey::parse(key).expect("a good key"));
    let shared = found("plain/shared/o").expect("it is there");
    assert_eq!(shared.places.iter().map(|place| place.is_away).collect::<Vec<_>>(), [false, true]);
    assert!(found("plain/s-10/lost").expect("it is not deleted").is_lost());
    assert_eq!((found("plain/s-10/gone"), found("plain/s-12/7")), (None, None));
    assert_eq!(state.directory().doomed().len(), 1, "a deletion is under way");
}

fn unnumbered(command: Command) -> Item {
    Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command }
}

/// Commands of the client that `upkeep` registers.
fn numbered() -> Batch {
    let commands = [
        Command::Void,
        Command::Open { id: session("s-1"), spec: None },
        Command::Create { id: session("s-9"), spec: Box::new(SessionSpec::new(app("plain"))) },
    ];
    let items = (1..).zip(commands);
    let items = items.map(|(seq, command)| Item { client: ClientId(1), seq: Seq(seq), below: Seq(1), command });
    Batch { wall_ms: WallMs(1_700_000_050_000), cluster_delta_ms: 7, items: items.collect() }
}

fn applications() -> Vec<Command> {
    let full = AppSpec {
        shim: Shim::Host,
        description: Some("every field".into()),
        labels: vec!["a".into(), "b".into()],
        image: Some("image".into()),
        command: Some("/bin/service".into()),
        arguments: vec!["--flag".into()],
        environments: [("K".to_owned(), "v".to_owned())].into(),
        working_directory: Some("/tmp".into()),
        max_instances: 7,
        delay_release_seconds: 5,
        schema: Some(Schema { input: Some("{}".into()), output: None, common_data: Some("true".into()) }),
        url: Some("file:///x".into()),
        retention: Retention {
            tasks: TaskRetention::default(),
            closed: ClosedRetention { age_ms: None, count: Some(5), bytes: Some(1 << 30) },
        },
        installer: Some("binary".into()),
        retry: Retries { failed: Retry { starts_max: Some(2), ..Retry::default() }, ..Retries::default() },
        task_timeout_ms: Some(60_000),
    };
    vec![
        Command::LeaderStart { leader: CoordinatorId(1) },
        Command::SetConfig(Box::new(ClusterConfig { prefetch_max: 2, ..ClusterConfig::default() })),
        Command::InstallBuiltins { version: 1, apps: vec![(app("flmping"), AppSpec::default())] },
        Command::Register { name: app("full"), spec: Box::new(full.clone()) },
        Command::Register { name: app("plain"), spec: Box::new(AppSpec::default()) },
        Command::Register { name: app("wasm"), spec: Box::new(AppSpec { shim: Shim::Wasm, ..full }) },
        Command::Update { name: app("wasm"), spec: Box::new(AppSpec { shim: Shim::Cri, ..AppSpec::default() }) },
        Command::Unregister { name: app("wasm") },
    ]
}

fn sessions_and_tasks() -> Vec<Command> {
    let spec = SessionSpec {
        application: app("full"),
        common_data: Some(Payload::from("common")),
        min_instances: 1,
        max_instances: Some(3),
        batch_size: 1,
        priority: 2,
        resources: Resources { cpu: 1, memory: 1 << 20, gpu: 0 },
        tokens: [("git".to_owned(), "secret".to_owned())].into(),
        labels: [("team".to_owned(), "x".to_owned())].into(),
        retry: Retries {
            lost: Retry { starts_max: Some(4), backoff_ms: Some(100), backoff_ms_max: Some(9_000) },
            ..Retries::default()
        },
        retention: Retention {
            tasks: TaskRetention { age_ms: Some(9), age_ms_min: Some(0), count: Some(1000), bytes: Some(1 << 20) },
            closed: ClosedRetention { age_ms: Some(3_600_000), ..ClosedRetention::default() },
        },
        task_timeout_ms: Some(30_000),
    };
    let options = TaskOptions { affinity: vec![b"model".to_vec()], priority: -1, timeout_ms: Some(5000) };
    let each = Inputs::Each(vec![Some(Payload::from("one")), None, Some(Payload::from(""))]);
    vec![
        Command::Create { id: session("s-1"), spec: Box::new(spec.clone()) },
        Command::Open { id: session("s-2"), spec: Some(Box::new(SessionSpec::new(app("plain")))) },
        submit("s-1", each, TaskOptions::default(), Some([7; 16])),
        submit("s-1", Inputs::Array { count: 4, input: Some(Payload::from("same")) }, TaskOptions::default(), None),
        submit("s-1", Inputs::Each(vec![None]), options, None),
        submit("s-2", Inputs::Each(vec![None]), TaskOptions::default(), None),
        Command::Cancel { session: session("s-1"), task: TaskNo(7) },
        Command::Suspend { id: session("s-2") },
        Command::Resume { id: session("s-2") },
        Command::Waiting { session: SessionKey(2), reason: Some(WaitReason::NoWorkers) },
    ]
}

fn workers() -> Vec<Command> {
    let resources = Resources { cpu: 1, memory: 1 << 20, gpu: 0 };
    let hello = |node: &str, executors: Vec<HeldExecutor>| {
        Command::Hello(Box::new(Hello {
            node: worker(node),
            incarnation: Incarnation { started_ms: 5, nonce: 6 },
            hello: HelloNo(1),
            host: Host { name: "host".into(), boot_id: "boot".into(), arch: "x86_64".into(), os: "linux".into() },
            capacity: Resources { cpu: 4, memory: 1 << 30, gpu: 1 },
            shims: vec![Shim::Host],
            seen: Token(0),
            executors,
            tokens: vec![],
        }))
    };
    let place = |session: u64, have: u32| Command::Place {
        node: worker("w1"),
        session: SessionKey(session),
        resources,
        have,
        count: 1,
        reuse: None,
    };
    let ready = |executor: u64| Command::ExecutorReady {
        node: worker("w1"),
        epoch: Epoch(1),
        executor: ExecutorKey(executor),
        session: SessionKey(1),
        attributes: Attributes { publish: vec![b"model".to_vec()], retract: vec![] },
    };
    let stranger = HeldExecutor {
        executor: ExecutorKey(77),
        session: SessionKey(1),
        ready: true,
        resources,
        attributes: vec![b"k".to_vec()],
    };
    vec![
        hello("w1", vec![]),
        hello("w2", vec![stranger]),
        place(1, 0),
        place(1, 1),
        place(1, 2),
        ready(1),
        ready(2),
        Command::Cordon { node: worker("w2"), on: true },
        Command::Drain { node: worker("w2") },
    ]
}

fn results() -> Vec<Command> {
    let done = |token: u64, outcome: Outcome| Completion {
        token: Token(token),
        outcome,
        ran_us: 1500,
        attributes: Attributes::default(),
    };
    let succeed = Outcome::Succeed { output: Some(Payload::from("out")), message: None };
    let failed = Outcome::Failed { output: None, message: Some("no".into()) };
    vec![
        Command::Complete { node: worker("w1"), done: vec![done(1, succeed), done(2, failed)] },
        Command::Recall { tokens: vec![Token(3)] },
        Command::Started { node: worker("w1"), epoch: Epoch(1), tokens: vec![Token(3)] },
        Command::Return { node: worker("w1"), epoch: Epoch(1), tokens: vec![Token(4)] },
        Command::ExecutorFailed {
            node: worker("w1"),
            epoch: Epoch(1),
            executor: ExecutorKey(2),
            started: vec![Token(4)],
            cause: FailureCause::Crashed { message: "signal 9".into() },
        },
        Command::ExecutorFailed {
            node: worker("w1"),
            epoch: Epoch(1),
            executor: ExecutorKey(3),
            started: vec![],
            cause: FailureCause::Bind { return_code: 12, message: "refused".into() },
        },
        Command::Release { executor: ExecutorKey(1), epoch: Epoch(9) },
        Command::ExecutorLeft { node: worker("w2"), epoch: Epoch(2), executor: ExecutorKey(77) },
    ]
}

fn upkeep() -> Vec<Command> {
    vec![
        Command::Tick,
        Command::RegisterClient { nonce: 1, gateway: Some(CoordinatorId(1)) },
        Command::RegisterClient { nonce: 2, gateway: None },
        Command::RegisterClient { nonce: 3, gateway: None },
        Command::EndClient { client: ClientId(2) },
        Command::ExpireClient { client: ClientId(3), last: Seq(0) },
        Command::Void,
    ]
}

/// What `sessions_and_tasks` has ended leaves, once; the second time the plan is out of date.
fn trimmed() -> Vec<Command> {
    let at = |index| Position { generation: Generation(0), index: LogIndex(index) };
    let trim = Trim {
        session: SessionKey(1),
        from: Position::START,
        to: at(2),
        tasks: vec![(TaskNo(7), TaskNo(7))],
        submits: vec![],
        bytes: 64,
        newest: ClusterMs(200),
        oldest_left: ClusterMs(200),
    };
    vec![Command::Trim(Box::new(trim.clone())), Command::Trim(Box::new(trim))]
}

fn the_end() -> Vec<Command> {
    vec![
        Command::Close { id: session("s-1"), force: true },
        Command::Close { id: session("s-2"), force: false },
        Command::Delete { id: session("s-2") },
        Command::Expire { sessions: vec![SessionKey(40)] },
        Command::Detach { node: worker("w2"), epoch: Epoch(2) },
        Command::ExpireNode { node: worker("w2"), epoch: Epoch(2), end: LeaseEnd::Goodbye },
        Command::NewGeneration { nonce: 4 },
        Command::RegisterClient { nonce: 5, gateway: Some(CoordinatorId(1)) },
    ]
}

fn submit(id: &str, inputs: Inputs, options: TaskOptions, idempotency_key: Option<[u8; 16]>) -> Command {
    Command::Submit(Box::new(Submit { session: session(id), inputs, options, idempotency_key }))
}

fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

fn session(id: &str) -> SessionId {
    SessionId::parse(id).expect("a good id")
}

fn worker(name: &str) -> NodeName {
    NodeName::parse(name).expect("a good name")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
    pairs.map(byte).collect::<Vec<u8>>().into()
}
