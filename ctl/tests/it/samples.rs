//! Fixed values for the golden files.

use flame_sdk::MemberReport;
use flame_sdk::model::{
    Application, ApplicationSpec, ApplicationStatus, Attempt, Environment, Event, Executor, ExecutorSpec,
    ExecutorStatus, Kept, Member, MemberStatus, Members, Metadata, Node, NodeInfo, NodeSpec, NodeStatus, Schema,
    Session, SessionSpec, SessionStatus, State, Task, TaskSpec, TaskStatus,
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
    };
    MemberReport { member: member(id), answer: Ok(status) }
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
