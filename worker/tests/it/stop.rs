//! Nothing outlives what it belongs to.

use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_up::Frame as Up;
use rustix::process::Signal;

use crate::hub::{EXECUTOR, Hub, Link, SESSION, until};
use crate::worker::{Place, Worker, is_alive, until_dead};

/// A service with a child that does not belong to it, and that only the kill of the whole group reaches.
const WITH_CHILD: &str = r#"trap '' TERM; sleep 100000 & echo $! > "$PID"; exec "$ECHO" --stubborn"#;

fn with_child(place: &Place) -> ha::Application {
    let mut application = place.script(WITH_CHILD);
    application.environments.insert("PID".into(), place.path("pid").display().to_string());
    application
}

/// A worker with this patience whose one executor runs a task, and does not end it before it may.
async fn busy(place: &Place, drain_timeout: &str, inputs: &[&str]) -> (Hub, Worker, Link) {
    let mut hub = Hub::start().await;
    let worker = Worker::start_with(place, &[&hub.endpoint], &[("drain_timeout", drain_timeout)]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    link.assign(1, inputs).await;
    until("the first task", || place.count("invoke") == 1).await;
    (hub, worker, link)
}

/// The order to wait for a file.
fn wait_for_go(place: &Place) -> String {
    format!("wait {}", place.path("go").display())
}

/// The worker takes leave and ends.
async fn gone(mut link: Link, place: &Place, worker: Worker) {
    link.left().await;
    assert!(!is_alive(place.service_pid()), "Goodbye is said after the last end");
    link.goodbye().await;
    drop(link);
    assert_eq!(worker.exited().await.code(), Some(0));
}

#[tokio::test]
async fn a_stopped_executor_takes_its_whole_group_along() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start_with(&place, &[&hub.endpoint], &[("terminate_grace", "50ms")]);
    let mut link = hub.attach().await;
    link.start(with_child(&place)).await;
    link.ready().await;
    let child = place.written_pid("pid").await;
    assert!(is_alive(child) && is_alive(place.service_pid()));
    link.send(Down::Stop(ha::Stop { executor: EXECUTOR })).await;
    link.left().await;
    assert!(!is_alive(place.service_pid()), "Left is said after the end");
    until_dead(child).await;
    link.send(Down::Stop(ha::Stop { executor: EXECUTOR })).await;
    link.left().await;
}

#[tokio::test]
async fn a_killed_worker_leaves_no_service_and_its_successor_no_child_of_one() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(with_child(&place)).await;
    link.ready().await;
    let child = place.written_pid("pid").await;
    let service = place.service_pid();
    let first = link.hello.clone();

    worker.signal(Signal::KILL);
    worker.exited().await;
    until_dead(service).await;
    let _successor = Worker::start(&place, &[&hub.endpoint]);
    let link = hub.hello().await;
    assert!(!is_alive(child), "the first Hello comes after the killing");
    assert!((link.hello.started_ms, link.hello.nonce) > (first.started_ms, 0));
    assert_eq!((link.hello.hello, &link.hello.tokens[..], &link.hello.executors[..]), (1, &[][..], &[][..]));
}

#[tokio::test]
async fn two_workers_do_not_share_a_folder() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _first = Worker::start(&place, &[&hub.endpoint]);
    let _link = hub.attach().await;
    let second = Worker::start(&place, &[&hub.endpoint]);
    assert_eq!(second.exited().await.code(), Some(2));
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_lets_running_tasks_end() {
    let place = Place::new();
    let (_hub, worker, mut link) = busy(&place, "60s", &[&wait_for_go(&place), "two"]).await;
    worker.signal(Signal::TERM);
    link.stopping().await;
    assert_eq!(link.revoke_answer().await, (vec![102], vec![]));
    link.assign(3, &["three"]).await;
    assert_eq!(link.revoke_answer().await, (vec![103], vec![]));
    let start = ha::Start { executor: EXECUTOR + 1, session: SESSION, ..ha::Start::default() };
    link.send(Down::Start(start)).await;
    let refused = ha::ExecutorLeft { executor: EXECUTOR + 1 };
    assert_eq!(link.next().await, Up::Left(refused), "what it will never start is not left open");
    place.touch("go");
    assert_eq!(link.results(1).await[0].token, 101);
    link.send(Down::Recorded(ha::Recorded { tokens: vec![101] })).await;
    gone(link, &place, worker).await;
    assert_eq!(place.count("leave"), 1);
}

#[tokio::test]
async fn a_task_that_does_not_end_is_lost_with_its_worker() {
    let place = Place::new();
    let (_hub, worker, mut link) = busy(&place, "50ms", &["hang"]).await;
    worker.signal(Signal::TERM);
    link.stopping().await;
    gone(link, &place, worker).await;
}

#[tokio::test]
async fn a_leader_that_comes_while_the_worker_stops_hears_of_it_first() {
    let place = Place::new();
    let (mut hub, worker, mut link) = busy(&place, "60s", &[&wait_for_go(&place)]).await;
    worker.signal(Signal::TERM);
    link.stopping().await;
    drop(link);

    let mut link = hub.attach().await;
    assert_eq!(link.hello.tokens, [101]);
    link.stopping().await;
    place.touch("go");
    assert_eq!(link.results(1).await[0].token, 101);
    link.send(Down::Recorded(ha::Recorded { tokens: vec![101] })).await;
    gone(link, &place, worker).await;
}
