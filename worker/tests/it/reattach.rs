//! Finding the leader, losing it, finding it again.

use flame_proto::ha;
use flame_proto::ha::refused::Reason;
use flame_proto::ha::worker_down::Frame as Down;

use crate::hub::{EXECUTOR, Hub, SESSION};
use crate::worker::{Place, Worker};

fn tokens(done: &[ha::Completion]) -> Vec<u64> {
    done.iter().map(|done| done.token).collect()
}

#[tokio::test]
async fn a_lost_leader_stops_no_task_and_nothing_runs_again() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let mut other = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint, &other.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    let wait = format!("wait {}", place.path("go").display());
    link.assign(1, &["one", &wait, "three"]).await;
    assert_eq!(tokens(&link.results(1).await), [101]);

    // The leader goes without having recorded anything; the other one leads now.
    drop(link);
    drop(hub);
    let mut link = other.hello().await;
    let hello = &link.hello;
    assert!(hello.hello > 1 && hello.cluster_id == "c-1", "{hello:?}");
    assert_eq!((hello.seen, &hello.tokens[..]), (103, &[101, 102, 103][..]));
    assert_eq!(hello.executors.len(), 1);
    let held = &hello.executors[0];
    assert_eq!((held.executor, held.session, held.ready), (EXECUTOR, SESSION, true));
    link.send(Down::Welcome(ha::Welcome { cluster_id: "c-1".into(), epoch: 2, ..ha::Welcome::default() })).await;
    assert_eq!(tokens(&link.results(1).await), [101], "a result that is not recorded is sent again");
    link.assign(2, &[&wait, "three"]).await;
    // The answer to what follows says that the worker has seen it, while the task still runs.
    link.send(Down::Recall(ha::Recall { tokens: vec![999] })).await;
    assert_eq!(link.revoke_answer().await, (vec![999], vec![]));
    place.touch("go");
    assert_eq!(tokens(&link.results(2).await), [102, 103]);
    assert_eq!((place.count("enter"), place.count("invoke")), (1, 3));

    // What this one records, and what the next one calls settled, is not sent again.
    link.send(Down::Recorded(ha::Recorded { tokens: vec![101, 102] })).await;
    link.assign(4, &["four"]).await;
    assert_eq!(tokens(&link.results(1).await), [104]);
    drop(link);
    let mut link = other.hello().await;
    assert_eq!((link.hello.seen, &link.hello.tokens[..]), (104, &[103, 104][..]));
    link.send(Down::Welcome(ha::Welcome { settled: vec![103], ..ha::Welcome::default() })).await;
    assert_eq!(tokens(&link.results(1).await), [104]);
    assert_eq!(place.count("invoke"), 4);
}

#[tokio::test]
async fn a_silent_leader_is_left() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let silent = hub.attach().await;
    // Nobody reads this stream, so no heartbeat is answered on it.
    let link = hub.hello().await;
    assert!(link.hello.hello > silent.hello.hello);
}

#[tokio::test]
async fn any_coordinator_says_who_leads() {
    let place = Place::new();
    let follower = Hub::start().await;
    let mut leader = Hub::start().await;
    let endpoints = vec![leader.endpoint.clone(), follower.endpoint.clone()];
    follower.answer_next(Down::NotLeader(ha::NotLeader { leader: String::new(), endpoints: vec![] }));
    follower.answer_next(Down::NotLeader(ha::NotLeader { leader: leader.endpoint.clone(), endpoints }));
    let _worker = Worker::start(&place, &[&follower.endpoint]);
    assert_eq!(leader.attach().await.hello.hello, 3);
}

#[tokio::test]
async fn a_stale_hello_is_said_again_with_a_higher_number() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    hub.refuse_next(Reason::StaleHello);
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    assert_eq!(hub.attach().await.hello.hello, 2);
}

#[tokio::test]
async fn a_refused_worker_exits_with_an_error() {
    for (reason, code) in
        [(Reason::NameInUse, 2), (Reason::OtherCluster, 2), (Reason::Invalid, 2), (Reason::Superseded, 3)]
    {
        let place = Place::new();
        let hub = Hub::start().await;
        hub.refuse_next(reason);
        let worker = Worker::start(&place, &[&hub.endpoint]);
        assert_eq!(worker.exited().await.code(), Some(code), "{reason:?}");
    }
}

#[tokio::test]
async fn a_superseded_worker_stops_its_services() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&[])).await;
    link.ready().await;
    link.assign(1, &["hang"]).await;
    crate::hub::until("the task", || place.count("invoke") == 1).await;
    hub.refuse_next(Reason::Superseded);
    drop(link);
    assert_eq!(worker.exited().await.code(), Some(3));
    assert!(!crate::worker::is_alive(place.service_pid()));
}

#[tokio::test]
async fn what_waits_does_not_begin_when_the_lease_may_be_over() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let _worker = Worker::start(&place, &[&hub.endpoint]);
    let mut link = hub.hello().await;
    // Over before anything can come.
    link.send(Down::Welcome(ha::Welcome { lease_ms: 1, detached_lease_ms: 1, ..ha::Welcome::default() })).await;
    link.start(place.echo(&[])).await;
    link.assign(1, &["one"]).await;
    link.ready().await;
    link.heartbeat().await;
    link.heartbeat().await;
    link.send(Down::Recall(ha::Recall { tokens: vec![101] })).await;
    assert_eq!(link.revoke_answer().await, (vec![101], vec![]));

    // It waits there for a leader that takes this worker again.
    link.assign(2, &["two"]).await;
    drop(link);
    let mut link = hub.hello().await;
    link.send(Down::Welcome(ha::Welcome::default())).await;
    assert_eq!(tokens(&link.results(1).await), [102]);
    assert_eq!(place.count("invoke"), 1);
}
