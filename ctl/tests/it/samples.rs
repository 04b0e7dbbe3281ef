//! Fixed values for the golden files.

use flame_sdk::MemberReport;
use flame_sdk::model::{
    Application, ApplicationSpec, ApplicationStatus, Attempt, CacheNode, ClusterEvent, ClusterEvents, Environment,
    Event, Executor, ExecutorReason, ExecutorSpec, ExecutorStatus, Kept, Member, MemberStatus, Members, Metadata, Node,
    NodeExecutor, NodeInfo, NodeLoad, NodeReasons, NodeSpec, NodeStatus, ObjectEntry, ObjectPlace, Reason, Schema,
    Session, SessionSpec, SessionStatus, State, Task, TaskExplanation, TaskSpec, TaskStatus,
};
use flame_sdk::{FlameError, types};
use types::resources::GIB;
use types::{AppState, ExecutorState, NodeState, Resources, SessionState, Shim, TaskState};

/// 2025-12-17 19:33:20.549 UTC.
pub const NOW: i64 = 1_766_000_000_549;

pub fn metadata(id: &str) -> Metadata {
    Metadata { id: id.into(), name: id.into() }
}

pub fn event(code: i32, message: &str, after: i64) -> Event {
    Event { code, message: Some(message.into()), creation_time: NOW + after }
}

pub fn crawler() -> Application {
    let spec = ApplicationSpec {
        description: Some("Reads web pages".into()),
        labels: vec!["web".into(), "python".into()],
        command: Some("/usr/bin/uv".into()),
        arguments: vec!["run".into(), "crawler.py".into()],
        environments: vec![Environment { name: "FLAME_LOG_LEVEL".into(), value: "DEBUG".into() }],
        working_directory: Some("/opt/examples/crawler/".into()),
        max_instances: Some(1_000_000),
        delay_release: Some(90_123),
        schema: Some(Schema { input: Some(r#"{"type":"object"}"#.into()), ..Schema::default() }),
        ..ApplicationSpec::default()
    };
    let status = ApplicationStatus { state: State::Known(AppState::Enabled), creation_time: NOW + 1000 };
    Application { metadata: metadata("crawler-app"), spec, status }
}

pub fn flmping() -> Application {
    let spec = ApplicationSpec {
        command: Some("/usr/local/flame/bin/flmping-service".into()),
        max_instances: Some(1_000_000),
        delay_release: Some(60),
        ..ApplicationSpec::default()
    };
    let status = ApplicationStatus { state: State::Known(AppState::Enabled), creation_time: NOW };
    Application { metadata: metadata("flmping"), spec, status }
}

pub fn session(id: &str, state: SessionState, counts: [u64; 4], after: i64) -> Session {
    let [pending, running, succeed, failed] = counts;
    let closed = state == SessionState::Closed;
    Session {
        metadata: metadata(id),
        spec: SessionSpec {
            application: "crawler-app".into(),
            batch_size: 1,
            priority: 3,
            resreq: Some(Resources { cpu: 1, memory: 2 * GIB, gpu: 0 }),
            ..SessionSpec::default()
        },
        status: SessionStatus {
            state: state.into(),
            creation_time: NOW + after,
            completion_time: closed.then_some(NOW + after + 5000),
            pending,
            running,
            succeed,
            failed,
            cancelled: 0,
            kept: Kept { tasks: succeed + failed, trimmed: 0, bytes: 64 * (succeed + failed) },
            events: Vec::new(),
        },
    }
}

pub fn executor(id: &str, state: ExecutorState, session: Option<&str>) -> Executor {
    Executor {
        metadata: metadata(id),
        spec: ExecutorSpec {
            node: "w1".into(),
            resreq: Resources { cpu: 1, memory: 2 * GIB, gpu: 0 },
            shim: State::Known(Shim::Host),
            application: "crawler-app".into(),
        },
        status: ExecutorStatus { state: state.into(), session_id: session.map(str::to_owned) },
    }
}

pub fn node(name: &str, state: NodeState) -> Node {
    Node {
        metadata: metadata(name),
        spec: NodeSpec { hostname: format!("{name}.example") },
        status: NodeStatus {
            state: state.into(),
            capacity: Resources { cpu: 8, memory: 16 * GIB, gpu: 1 },
            allocatable: Resources { cpu: 8, memory: 15 * GIB, gpu: 1 },
            info: NodeInfo { arch: "x86_64".into(), os: "linux".into() },
            addresses: Vec::new(),
            last_heartbeat_time: NOW / 1000,
        },
    }
}

pub fn task(number: u64, state: TaskState, output: Option<&'static str>, events: Vec<Event>) -> Task {
    Task {
        metadata: metadata(&number.to_string()),
        spec: TaskSpec {
            session_id: "crawler-app-Ab12Cd".into(),
            input: Some(bytes::Bytes::from_static(b"hello")),
            output: output.map(|text| bytes::Bytes::from_static(text.as_bytes())),
            affinity: Vec::new(),
        },
        status: TaskStatus {
            state: state.into(),
            creation_time: NOW,
            completion_time: state.is_terminal().then_some(NOW + 700),
            events,
            attempts: Vec::new(),
        },
    }
}

pub fn attempt(number: u32, ended: Option<i64>, failure: Option<(&str, &str)>) -> Attempt {
    let started = NOW + 1000 * i64::from(number);
    Attempt {
        number,
        node: "w1".into(),
        started,
        ended: ended.map(|after| started + after),
        cause: failure.map(|(cause, _)| cause.into()),
        message: failure.map(|(_, message)| message.into()),
    }
}

fn member(id: u64) -> Member {
    Member {
        id,
        client_endpoint: format!("10.0.0.{id}:8080"),
        worker_endpoint: format!("10.0.0.{id}:8081"),
        peer_endpoint: format!("10.0.0.{id}:8082"),
        voter: true,
    }
}

pub fn members() -> Members {
    Members {
        cluster_id: "demo".into(),
        members: (1..=3).map(member).collect(),
        leader: Some(2),
        answered_by: 1,
        term: 4,
        changing: false,
    }
}

pub fn serving(id: u64, role: &str) -> MemberReport<MemberStatus> {
    let status = MemberStatus {
        id,
        role: role.into(),
        term: 4,
        leader: Some(2),
        last_log: 1200,
        committed: 1200,
        applied: 1200 - id,
        version: "0.1.0".into(),
        feature_level: 1,
        feature_level_min: 1,
        feature_level_max: 1,
        disk_bytes: 3 << 20,
        uptime_seconds: 3723,
        ready: true,
        not_ready_reason: String::new(),
        cluster_time_ms: 3_700_000,
        workers_attached: if role == "leader" { 2 } else { 0 },
        kept_tasks: 1_200,
        kept_bytes: 153_600,
        closed_sessions: 3,
        closed_bytes: 4_096,
        kept_bytes_max: 128 << 30,
        flushed: 900,
        disk_free_bytes: Some(40 << 30),
        disk_total_bytes: Some(100 << 30),
        disk_floor_bytes: 2 << 30,
    };
    MemberReport { member: member(id), answer: Ok(status) }
}

/// Serves a cluster with a longer log, of which it has applied so much.
pub fn far(id: u64, role: &str, applied: u64) -> MemberReport<MemberStatus> {
    let mut report = serving(id, role);
    if let Ok(status) = &mut report.answer {
        (status.last_log, status.committed, status.applied) = (1_200_000, 1_200_000, applied);
    }
    report
}

/// Serves, and has a disk that is nearly full and much to apply.
pub fn troubled(id: u64) -> MemberReport<MemberStatus> {
    let mut report = far(id, "follower", 1_100_000);
    if let Ok(status) = &mut report.answer {
        status.disk_free_bytes = Some(1 << 30);
    }
    report
}

pub fn cache_node(name: &str) -> CacheNode {
    CacheNode {
        name: name.into(),
        endpoint: format!("grpc://{name}.example:9090"),
        hostname: format!("{name}.example"),
        attached: true,
        away: false,
        objects: 12,
        bytes: 3 * GIB,
        memory_bytes: GIB,
        disk_bytes: 64 * GIB,
        last_hello: NOW,
    }
}

/// An object, by the nodes that have it; one of them may be away.
pub fn object(key: &str, nodes: &[&str], away: Option<&str>) -> ObjectEntry {
    let place = |node: &str| ObjectPlace {
        node: node.into(),
        endpoint: format!("grpc://{node}.example:9090"),
        attached: away != Some(node),
        away: away == Some(node),
    };
    let places: Vec<ObjectPlace> = nodes.iter().map(|node| place(node)).collect();
    ObjectEntry {
        key: key.into(),
        version: 3,
        size: 200 << 10,
        data_type: "raw".into(),
        creation_time: NOW,
        copies: 2,
        lost: places.iter().all(|place| place.away),
        places,
    }
}

pub fn node_load(name: &str) -> NodeLoad {
    let held = NodeExecutor {
        id: "4b1d4a4e-9a40-8f3c-8a3e-52f7d6c1b2a0".into(),
        state: ExecutorState::Bound.into(),
        retiring: true,
        application: "crawler-app".into(),
        session_id: "crawler-app-Ab12Cd".into(),
        resources: Resources { cpu: 2, memory: 4 * GIB, gpu: 1 },
        running: 1,
        queued: 2,
    };
    let idle = NodeExecutor {
        id: "9c2e5b5f-0b51-8a4d-9b4f-63a8e7d2c3b1".into(),
        state: ExecutorState::Unbinding.into(),
        retiring: false,
        session_id: String::new(),
        running: 0,
        queued: 0,
        ..held.clone()
    };
    NodeLoad {
        name: name.into(),
        hostname: format!("{name}.example"),
        state: NodeState::Ready.into(),
        attached: true,
        cordoned: false,
        draining: false,
        capacity: Resources { cpu: 8, memory: 16 * GIB, gpu: 2 },
        allocated: Resources { cpu: 4, memory: 8 * GIB, gpu: 2 },
        executors: 2,
        sessions: 1,
        running: 1,
        queued: 2,
        bind_failures: 0,
        avoided_ms: 0,
        avoided_by: String::new(),
        last_hello: NOW,
        shims: vec![Shim::Host.into(), Shim::Wasm.into()],
        arch: "x86_64".into(),
        os: "linux".into(),
        held: vec![held, idle],
    }
}

fn reason(kind: &str, message: &str) -> Reason {
    Reason { kind: kind.into(), message: message.into() }
}

pub fn explanation() -> TaskExplanation {
    let here = ExecutorReason {
        id: "4b1d4a4e-9a40-8f3c-8a3e-52f7d6c1b2a0".into(),
        kind: "busy".into(),
        message: "is busy: 1 running, 0 behind".into(),
    };
    let node = |node: &str, reasons: Vec<Reason>, executors| NodeReasons { node: node.into(), reasons, executors };
    TaskExplanation {
        session_id: "crawler-app-Ab12Cd".into(),
        task_id: "7".into(),
        application: "crawler-app".into(),
        state: TaskState::Pending.into(),
        summary: "it waits in its session".into(),
        node: String::new(),
        executor: String::new(),
        attempt: 0,
        since: NOW,
        reasons: vec![reason("behind", "3 tasks of its session come first")],
        nodes: vec![
            node("w1", vec![reason("full", "full just now: cpu needs 2, free 0")], vec![here]),
            node("w2", Vec::new(), Vec::new()),
        ],
    }
}

pub fn running_explanation() -> TaskExplanation {
    TaskExplanation {
        state: TaskState::Running.into(),
        summary: "it runs on node w1, start 2".into(),
        node: "w1".into(),
        executor: "4b1d4a4e-9a40-8f3c-8a3e-52f7d6c1b2a0".into(),
        attempt: 2,
        reasons: Vec::new(),
        nodes: Vec::new(),
        ..explanation()
    }
}

pub fn cluster_events() -> ClusterEvents {
    let event = |number, kind: &str, subject: &str, message: &str| ClusterEvent {
        number,
        time: NOW + i64::try_from(number).unwrap(),
        kind: kind.into(),
        subject: subject.into(),
        message: message.into(),
    };
    ClusterEvents {
        events: vec![
            event(41, "leader", "2", "coordinator 2 leads in term 4"),
            event(42, "configuration", "", "the leader's configuration was taken over by the cluster"),
        ],
        oldest: 1,
        newest: 42,
    }
}

pub fn silent(id: u64) -> MemberReport<MemberStatus> {
    MemberReport { member: member(id), answer: Err(FlameError::Unavailable("connection refused".into())) }
}

pub fn unready(id: u64) -> MemberReport<MemberStatus> {
    let mut report = serving(id, "candidate");
    if let Ok(status) = &mut report.answer {
        (status.ready, status.leader) = (false, None);
        status.not_ready_reason = "no leader is known".into();
    }
    report
}
