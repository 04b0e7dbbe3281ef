//! Every screen in every format.

use std::time::Duration;

use flame_ctl::cli::says;
use flame_ctl::dev::{DaemonState, DevStatus};
use flame_ctl::ping;
use flame_ctl::render::{
    ApplicationView, Applications, CacheNodes, ClusterStatus, EventList, Executors, ExplanationView, MemberList,
    NodeLoadView, NodeLoads, NodeView, Nodes, Objects, Render, SessionView, Sessions, TaskView, Verdict,
};
use flame_sdk::TaskEnd;
use flame_sdk::model::{CacheNode, NodeLoad};
use flame_sdk::types::{ExecutorState, NodeState, Resources, SessionState, TaskNo, TaskState};

use crate::golden::{check, check_value};
use crate::samples::{
    attempt, cache_node, cluster_events, crawler, event, executor, explanation, far, flmping, members, node, node_load,
    object, running_explanation, serving, session, silent, task, troubled, unready,
};

#[test]
fn applications() {
    check_value("list-application", "flmctl list -a", &Applications::new(vec![crawler(), flmping()]));
    check_value("view-application", "flmctl view -a crawler-app", &ApplicationView(crawler()));
}

#[test]
fn sessions() {
    let sessions = vec![
        session("crawler-app-Zz99Zz", SessionState::Closed, [0, 0, 9, 0], 0),
        session("crawler-app-Ab12Cd", SessionState::Open, [3, 2, 40, 1], 60_000),
        session("10", SessionState::Suspended, [1, 0, 0, 0], 0),
        session("9", SessionState::Open, [0, 0, 0, 0], 120_000),
    ];
    let executors = [
        executor("e1", ExecutorState::Bound, Some("crawler-app-Ab12Cd")),
        executor("e2", ExecutorState::Bound, Some("crawler-app-Ab12Cd")),
        executor("e3", ExecutorState::Binding, Some("crawler-app-Ab12Cd")),
    ];
    check_value("list-session", "flmctl list -s", &Sessions::new(sessions, &executors));

    let mut waiting = session("crawler-app-Ab12Cd", SessionState::Open, [3, 2, 40, 1], 0);
    waiting.status.cancelled = 2;
    waiting.status.events =
        vec![event(1001, "Executor <e1> on node <w1> failed to bind session with return_code <12>: boom", 0)];
    let tasks = vec![task(1, TaskState::Running, None, Vec::new())];
    check_value("view-session", "flmctl view -s crawler-app-Ab12Cd", &SessionView { session: waiting, tasks });
}

#[test]
fn tasks() {
    let events = vec![
        event(0, "Task was created with state <Pending>", 0),
        event(1, "Running task on host <78f3468f8bc8>.", 50),
        event(2, "Task completed successfully on host <78f3468f8bc8>.", 700),
    ];
    let task = task(1, TaskState::Succeed, Some("done"), events);
    let view = TaskView { task, application: "crawler-app".into() };
    check_value("view-task", "flmctl view -s crawler-app-Ab12Cd -t 1", &view);
}

#[test]
fn a_task_with_a_history() {
    let events = vec![
        event(0, "Task was created with state <Pending>", 0),
        event(1, "Running task on host <w1>.", 1000),
        event(0, "Task went back to <Pending>: service crashed: exit status 139", 1150),
        event(1, "Running task on host <w1>.", 2000),
    ];
    let mut task = task(2, TaskState::Running, None, events);
    task.status.attempts =
        vec![attempt(1, Some(150), Some(("crashed", "service crashed: exit status 139"))), attempt(2, None, None)];
    let view = TaskView { task, application: "crawler-app".into() };
    check_value("view-task-attempts", "flmctl view -s crawler-app-Ab12Cd -t 2", &view);
}

#[test]
fn nodes_and_executors() {
    let nodes = vec![node("w2", NodeState::NotReady), node("w1", NodeState::Ready)];
    check_value("list-node", "flmctl list -n", &Nodes::new(nodes));
    check_value("view-node", "flmctl view -n w1", &NodeView(node("w1", NodeState::Ready)));
    let executors = vec![
        executor("e2", ExecutorState::Void, None),
        executor("e1", ExecutorState::Bound, Some("crawler-app-Ab12Cd")),
    ];
    check_value("list-executor", "flmctl list -e", &Executors::new(executors));
}

#[test]
fn empty_lists_still_have_their_header() {
    check_value("list-session-empty", "flmctl list -s", &Sessions::new(Vec::new(), &[]));
}

#[test]
fn cluster() {
    let status = |reports| ClusterStatus::new("demo".into(), reports);
    let healthy = status(vec![serving(3, "follower"), serving(2, "leader"), serving(1, "follower")]);
    assert_eq!((healthy.verdict, healthy.can_lose), (Verdict::Healthy, 1));
    check_value("cluster-status-healthy", "flmctl cluster status", &healthy);
    let degraded = status(vec![serving(1, "follower"), serving(2, "leader"), silent(3)]);
    assert_eq!((degraded.verdict, degraded.can_lose), (Verdict::Degraded, 0));
    check_value("cluster-status-degraded", "flmctl cluster status", &degraded);
    let lost = status(vec![unready(1), silent(2), silent(3)]);
    assert_eq!((lost.verdict, lost.can_lose), (Verdict::NoQuorum, 0));
    check_value("cluster-status-no-quorum", "flmctl cluster status", &lost);
    let troubled = status(vec![far(1, "follower", 1_199_000), far(2, "leader", 1_200_000), troubled(3)]);
    assert_eq!((troubled.verdict, troubled.can_lose, troubled.reasons.len()), (Verdict::Degraded, 1, 2));
    check_value("cluster-status-troubled", "flmctl cluster status", &troubled);
    check_value("cluster-members", "flmctl cluster members", &MemberList(members()));
}

/// The table fits a terminal of usual width, also in a cluster that is a year old.
#[test]
fn the_table_of_coordinators_is_not_too_wide() {
    const WIDTH_MAX: usize = 120;
    let mut old = serving(1, "follower");
    if let Ok(status) = &mut old.answer {
        (status.last_log, status.applied, status.flushed) = (123_456_789, 123_456_789, 123_456_789);
        (status.committed, status.term, status.uptime_seconds) = (123_456_789, 1234, 365 * 86_400 - 1);
        (status.disk_free_bytes, status.disk_total_bytes) = (Some(1023 << 30), Some(2000 << 30));
    }
    let table = ClusterStatus::new("demo".into(), vec![old, silent(2), silent(3)]).sheet().print(false);
    let width = table.lines().take(4).map(|line| line.trim_end().len()).max().unwrap();
    assert!(width <= WIDTH_MAX, "{width}:\n{table}");
}

#[test]
fn what_operators_ask() {
    let cordoned = NodeLoad { cordoned: true, ..node_load("w10") };
    let avoided =
        NodeLoad { bind_failures: 3, avoided_ms: 4_250, avoided_by: "all sessions".into(), ..node_load("w9") };
    let draining = NodeLoad { cordoned: true, draining: true, ..node_load("w2") };
    let gone = Resources { cpu: 0, memory: 0, gpu: 0 };
    let drained = NodeLoad {
        state: NodeState::NotReady.into(),
        attached: false,
        executors: 0,
        sessions: 0,
        running: 0,
        allocated: gone,
        held: Vec::new(),
        ..draining.clone()
    };
    let drained = NodeLoad { name: "w3".into(), ..drained };
    let nodes = vec![node_load("w1"), draining, drained, cordoned, avoided.clone()];
    let without_executors = nodes.into_iter().map(|node| NodeLoad { held: Vec::new(), ..node });
    check_value("node-list", "flmctl node list", &NodeLoads::new(without_executors.collect()));
    check_value("node-view", "flmctl node view w1", &NodeLoadView(node_load("w1")));
    check_value("node-view-avoided", "flmctl node view w9", &NodeLoadView(avoided));
    check_value("task-explain", "flmctl task explain crawler-app-Ab12Cd/7", &ExplanationView(explanation()));
    let running = ExplanationView(running_explanation());
    check_value("task-explain-running", "flmctl task explain crawler-app-Ab12Cd/7", &running);
    check_value("cluster-events", "flmctl cluster events", &EventList(cluster_events()));
}

#[test]
fn the_object_cache() {
    let detached = CacheNode { attached: false, ..cache_node("c2") };
    let away = CacheNode { attached: false, away: true, disk_bytes: 0, objects: 1, bytes: 512, ..cache_node("c3") };
    check_value("cache-list", "flmctl cache list", &CacheNodes::new(vec![away, detached, cache_node("c1")]));
    let objects = vec![
        object("crawler-app/crawler-app-Ab12Cd/page-1", &["c1"], None),
        object("crawler-app/pkg/crawler.tar.gz", &["c3", "c1", "c2"], Some("c3")),
        object("crawler-app/shared/model", &["c3"], Some("c3")),
        object("crawler-app/shared/weights", &[], None),
    ];
    check_value("object-list", "flmctl object list", &Objects::new(objects));
}

#[test]
fn a_leader_of_an_older_term_is_not_believed() {
    let mut old = serving(1, "leader");
    if let Ok(status) = &mut old.answer {
        status.term = 3;
    }
    let status = ClusterStatus::new("demo".into(), vec![old, serving(2, "leader"), serving(3, "follower")]);
    assert_eq!(status.leader, Some(2));
}

#[test]
fn dev() {
    let daemon = |name: &str, kind: &str, pid: Option<u32>, endpoint: Option<&str>| DaemonState {
        name: name.into(),
        kind: kind.into(),
        pid,
        ended: pid.is_none().then(|| "signal: 9 (SIGKILL)".into()),
        endpoint: endpoint.map(str::to_owned),
        log: format!("/data/{name}.log"),
    };
    let status = DevStatus {
        pid: 100,
        data: "/data".into(),
        endpoints: vec!["http://127.0.0.1:4001".into(), "http://127.0.0.1:4004".into()],
        cache_endpoint: Some("grpc://127.0.0.1:4007".into()),
        ready: true,
        daemons: vec![
            daemon("1", "coordinator", Some(101), Some("http://127.0.0.1:4001")),
            daemon("2", "coordinator", None, Some("http://127.0.0.1:4004")),
            daemon("cache", "cache", Some(104), Some("grpc://127.0.0.1:4007")),
            daemon("w1", "worker", Some(103), None),
        ],
    };
    check_value("dev-status", "flmctl dev status", &status);
}

#[test]
fn changing_verbs() {
    let (session, mut text) = ("crawler-app-Ab12Cd", String::new());
    for (command, said) in [
        ("create -a crawler-app", says::created(session)),
        ("close -s crawler-app-Ab12Cd", says::closed(session)),
        ("suspend -s crawler-app-Ab12Cd", says::suspended(session)),
        ("resume -s crawler-app-Ab12Cd", says::resumed(session)),
        ("cancel -s crawler-app-Ab12Cd -t 7", says::cancelled(session, 7)),
        ("delete -s crawler-app-Ab12Cd", says::deleted(session)),
        ("cluster transfer-leader --to 2", says::leads(2)),
        ("node cordon w1", says::cordoned("w1")),
        ("node uncordon w1", says::uncordoned("w1")),
        ("node drain w1", says::drained("w1")),
        ("node drain w1 --no-wait", says::draining("w1")),
        ("cache remove cache-3", says::cache_removed("cache-3")),
        ("register -f crawler-app.yaml", String::new()),
        ("update -a crawler-app.yaml", String::new()),
        ("unregister -a crawler-app", String::new()),
    ] {
        text += &format!("$ flmctl {command}\n{said}\n");
    }
    check("changing-verbs", &text);
}

#[test]
fn flmping_table_and_summary() {
    let message = r#"{"message":"Completed on <w1.example> in <0> milliseconds with <0B> memory"}"#;
    let end = |task, state: TaskState, output: Option<&'static str>, message: Option<&str>| TaskEnd {
        task: TaskNo(task),
        state: state.into(),
        output: output.map(|text| text.as_bytes().into()),
        message: message.map(str::to_owned),
    };
    let ends = vec![
        end(10, TaskState::Failed, None, Some("cannot take 9 bytes of memory")),
        end(2, TaskState::Succeed, Some(message), None),
        end(1, TaskState::Succeed, Some("not JSON"), None),
    ];
    let created = ping::created("flmping-Ab12Cd", Duration::from_millis(1), 10_000);
    let completed = ping::completed(10_000, Duration::from_millis(1603));
    check("flmping", &(created.clone() + &ping::table("crawler-app-Ab12Cd", ends, false) + &completed));
    check("flmping-perf", &(created + &ping::benchmark(10_000, 9_999, Duration::from_millis(1603)) + &completed));
}
