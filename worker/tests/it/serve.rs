//! Entering, running tasks, leaving.

use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;

use crate::hub::{EXECUTOR, Hub, SESSION};
use crate::worker::{Place, Worker, read, until_dead};

async fn check_whole_life(dialect: &str) {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let mut worker = Worker::start(&place, &[&hub.endpoint]);

    let mut link = hub.attach().await;
    assert_eq!((link.hello.node.as_str(), link.hello.hello, link.hello.seen), ("w1", 1, 0));
    assert_eq!(link.hello.capacity, Some(ha::Resources { cpu: 2, memory: 1 << 30, gpu: 0 }));
    assert!(!link.hello.host.as_ref().unwrap().boot_id.is_empty());
    let lines = worker.lines_until("attached").await;
    let ready = r#"{"event":"ready","name":"w1","proxy":"127.0.0.1:"#;
    assert!(lines[0].starts_with(ready), "{}", lines[0]);
    assert!(lines[1].contains(r#""event":"attached""#) && lines[1].contains(&hub.endpoint), "{}", lines[1]);

    link.start(place.echo(&["--dialect", dialect, "--publish", "model"])).await;
    let ready = link.ready().await;
    assert_eq!((ready.executor, ready.session), (EXECUTOR, SESSION));
    let published = ready.attributes.map(|attributes| attributes.publish);
    assert_eq!(published, (dialect != "0.6").then(|| vec!["model".into()]));

    link.assign(1, &["hello", "fail on purpose", "", "sleep 20"]).await;
    let done = link.results(4).await;
    let outcomes: Vec<_> = done.iter().map(|done| (done.token, done.succeed, done.output.as_deref())).collect();
    assert_eq!(
        outcomes,
        [
            (101, true, Some(&b"hello"[..])),
            (102, false, None),
            (103, true, Some(&b""[..])),
            (104, true, Some(&b"sleep 20"[..]))
        ]
    );
    assert_eq!(done[1].message.as_deref(), Some("on purpose"));
    assert!(done[3].ran_us >= 20_000, "{} µs", done[3].ran_us);
    link.send(Down::Recorded(ha::Recorded { tokens: vec![101, 102, 103, 104] })).await;

    let service = place.service_pid();
    link.send(Down::Stop(ha::Stop { executor: EXECUTOR })).await;
    link.left().await;
    until_dead(service).await;
    let calls: Vec<_> = place.calls().into_iter().map(|(call, session, task, _)| (call, session, task)).collect();
    let call = |call: &str, session: &str, task: &str| (call.to_owned(), session.to_owned(), task.to_owned());
    let mut expected = vec![call("enter", "s-10", "-")];
    expected.extend(["1", "2", "3", "4"].map(|task| call("invoke", "s-10", task)));
    expected.push(call("leave", "-", "-"));
    assert_eq!(calls, expected);
    assert!(place.path("l/1.out").exists() && place.path("l/1.err").exists(), "logs stay");
    assert!(!place.path("w/executors/1").exists(), "scratch space does not");
    assert_eq!(std::fs::read_dir(place.path("s")).unwrap().count(), 0, "nor does the socket");
}

#[tokio::test]
async fn a_service_of_0_6_lives_its_whole_life() {
    check_whole_life("0.6").await;
}

#[tokio::test]
async fn a_service_of_0_7_lives_its_whole_life() {
    check_whole_life("0.7").await;
}

#[tokio::test]
async fn a_service_that_speaks_the_stream_lives_its_whole_life() {
    check_whole_life("stream").await;
}

#[tokio::test]
async fn a_service_that_speaks_frames_lives_its_whole_life() {
    check_whole_life("frames").await;
}

#[tokio::test]
async fn what_a_task_publishes_goes_with_its_result() {
    for dialect in ["0.7", "stream", "frames"] {
        let place = Place::new();
        let mut hub = Hub::start().await;
        let _worker = Worker::start(&place, &[&hub.endpoint]);
        let mut link = hub.attach().await;
        link.start(place.echo(&["--dialect", dialect])).await;
        link.ready().await;
        link.assign(1, &["publish model", "nothing", "retract model"]).await;
        let done = link.results(3).await;
        let keys = |keys: &[&'static str]| keys.iter().map(|key| (*key).into()).collect();
        assert_eq!(done[0].attributes, Some(ha::Attributes { publish: keys(&["model"]), retract: vec![] }));
        assert_eq!(done[1].attributes, None);
        assert_eq!(done[2].attributes, Some(ha::Attributes { publish: vec![], retract: keys(&["model"]) }));
    }
}

#[tokio::test]
async fn nothing_is_done_twice() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;

    link.start(place.echo(&[])).await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    let wait = format!("wait {}", place.path("go").display());
    link.assign(1, &[&wait]).await;
    link.assign(1, &[&wait]).await;
    place.touch("go");
    link.results(1).await;
    link.assign(1, &[&wait]).await;
    link.results(1).await;
    assert_eq!((place.count("enter"), place.count("invoke")), (1, 1));
}

#[tokio::test]
async fn a_crash_is_told_with_the_task_that_had_begun() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&["--dialect", "0.7"])).await;
    link.ready().await;

    link.assign(1, &["one", "crash", "three"]).await;
    assert_eq!(link.results(1).await[0].token, 101);
    let failed = link.failed().await;
    assert_eq!((failed.executor, &failed.started[..]), (EXECUTOR, &[102][..]));
    let Some(ha::executor_failed::Cause::Crashed(message)) = failed.cause else { panic!("a crash expected") };
    assert!(message.contains("killed by signal 6 while it ran task 2"), "{message}");
    assert!(message.contains("crashing as I was told"), "the end of the log belongs to it: {message}");
    assert_eq!(place.count("invoke"), 2, "the third task never began");

    link.assign(4, &["four"]).await;
    assert_eq!(link.revoke_answer().await, (vec![104], vec![]), "a dead executor takes no task");
}

#[tokio::test]
async fn a_service_that_dies_while_idle_is_told_at_once() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    let service = rustix::process::Pid::from_raw(place.service_pid()).unwrap();
    rustix::process::kill_process(service, rustix::process::Signal::KILL).unwrap();
    let failed = link.failed().await;
    assert_eq!(failed.started, []);
    assert!(format!("{:?}", failed.cause).contains("signal 9 while it was idle"), "{failed:?}");
}

#[tokio::test]
async fn a_task_has_the_time_it_was_given() {
    for dialect in ["0.7", "stream"] {
        check_time_limit(dialect).await;
    }
}

async fn check_time_limit(dialect: &str) {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&["--dialect", dialect])).await;
    link.ready().await;
    let task = ha::Task {
        token: 101,
        executor: EXECUTOR,
        session: SESSION,
        task: 1,
        attempt: 1,
        input: Some("hang".into()),
        timeout_ms: 50,
    };
    link.send(Down::Assign(ha::Assign { tasks: vec![task] })).await;
    let done = link.results(1).await.remove(0);
    assert!(!done.succeed && done.message.as_ref().unwrap().contains("longer than 50ms"), "{done:?}");
    assert_eq!(link.failed().await.started, [], "the task has its result, the service is given up");
    until_dead(place.service_pid()).await;
}

#[tokio::test]
async fn another_session_on_the_same_process() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    link.start_session(11, place.echo(&[])).await;
    assert_eq!(link.ready().await.session, 11);
    let calls: Vec<_> = place.calls().into_iter().map(|(call, session, ..)| format!("{call} {session}")).collect();
    assert_eq!(calls, ["enter s-10", "leave -", "enter s-11"]);
    assert_eq!(place.calls().iter().filter(|(.., pid)| *pid == place.service_pid()).count(), 3, "one process");
}

#[tokio::test]
async fn recall_gives_back_what_has_not_begun() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    let wait = format!("wait {}", place.path("go").display());
    link.assign(1, &[&wait, "two", "three"]).await;
    crate::hub::until("the first task", || place.count("invoke") == 1).await;
    link.send(Down::Recall(ha::Recall { tokens: vec![101, 102] })).await;
    assert_eq!(link.revoke_answer().await, (vec![102], vec![101]));
    place.touch("go");
    let tokens: Vec<u64> = link.results(2).await.iter().map(|done| done.token).collect();
    assert_eq!(tokens, [101, 103]);
    assert_eq!(place.count("invoke"), 2);
}

#[tokio::test]
async fn a_cancelled_task_that_does_not_end_costs_its_service() {
    for dialect in ["0.7", "stream"] {
        check_cancel_grace(dialect).await;
    }
}

async fn check_cancel_grace(dialect: &str) {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start_with(&place, &[&hub.endpoint], &[("cancel_grace", "50ms")]);
    let mut link = hub.attach().await;
    link.start(place.echo(&["--dialect", dialect])).await;
    link.ready().await;
    link.assign(1, &["hang", "two"]).await;
    crate::hub::until("the first task", || place.count("invoke") == 1).await;
    link.send(Down::Cancel(ha::Cancel { tokens: vec![101, 102] })).await;
    assert_eq!(link.revoke_answer().await, (vec![102], vec![101]));
    assert_eq!(link.failed().await.started, [101]);
    until_dead(place.service_pid()).await;
}

#[tokio::test]
async fn services_find_the_published_environment() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let worker = Worker::start_with(&place, &[&hub.endpoint], &[("proxy", "off")]);
    let mut link = hub.attach().await;
    let mut application = place.script(r#"env > "$OUT"; pwd >> "$OUT"; echo "$1" >> "$OUT"; exec "$ECHO""#);
    application.arguments.extend(["name".into(), "${ECHO}:$NOT_THERE".into()]);
    application.environments.insert("OUT".into(), place.path("env").display().to_string());
    application.environments.insert("MINE".into(), "${HOME}/x".into());
    application.environments.insert("RUST_LOG".into(), "debug".into());
    link.start(application).await;
    link.ready().await;
    let text = read(&place.path("env"));
    let home = place.path("home").display().to_string();
    let scratch = place.path("w/executors/1").display().to_string();
    for line in [
        format!("FLAME_INSTANCE_ENDPOINT={}", place.path(&format!("s/1.{}.sock", worker.pid())).display()),
        "FLAME_ENDPOINT=http://127.0.0.1:9999".into(),
        format!("HOME={home}"),
        format!("MINE={home}/x"),
        "RUST_LOG=debug".into(),
        format!("TMPDIR={scratch}/tmp"),
        scratch,
        format!("{}:$NOT_THERE", env!("CARGO_BIN_EXE_flame-echo-service")),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("FLAME_LOG=")));
}
