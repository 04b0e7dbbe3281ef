//! Services that speak our stream, by gRPC and in bare frames: several tasks in their hands at a time.

use std::collections::BTreeSet;

use flame_proto::ha;
use flame_proto::ha::worker_down::Frame as Down;

use crate::hub::{EXECUTOR, Hub, Link, soon, until};
use crate::worker::{Place, Worker};

/// So many short tasks tell the worker that more of them may travel together.
const WARM_UP: usize = 50;

/// The number of the first task after the warm-up.
const FIRST: u64 = WARM_UP as u64 + 1;

/// A worker whose service has shown that its tasks are short.
async fn warm(place: &Place, dialect: &str) -> (Hub, Worker, Link) {
    let mut hub = Hub::start().await;
    let worker = Worker::start(place, &[&hub.endpoint]);
    let mut link = hub.attach().await;
    link.start(place.echo(&["--dialect", dialect])).await;
    link.ready().await;
    link.assign(1, &[""; WARM_UP]).await;
    link.results(WARM_UP).await;
    (hub, worker, link)
}

/// The numbers of the tasks that services were told to run, in order.
fn invoked(place: &Place) -> Vec<u64> {
    let calls = place.calls().into_iter().filter(|(call, ..)| call == "invoke");
    calls.map(|(_, _, task, _)| task.parse().unwrap()).collect()
}

/// The token of a task of these tests.
fn token(task: u64) -> u64 {
    100 + task
}

/// Each of these tests, by gRPC and in frames.
macro_rules! both {
    ($($test:ident),* $(,)?) => {
        mod by_grpc {
            $(#[tokio::test] async fn $test() { super::$test("stream").await; })*
        }
        mod in_frames {
            $(#[tokio::test] async fn $test() { super::$test("frames").await; })*
        }
    };
}

both!(
    many_tasks_run_in_order_and_are_answered_in_order,
    a_task_knows_its_token_and_its_attempt,
    a_crash_is_told_with_everything_that_the_service_had,
    a_task_that_is_in_the_hands_of_the_service_is_cancelled_before_it_begins,
    what_waits_behind_a_long_task_can_be_given_back,
    a_stop_gives_back_what_the_service_has_not_begun,
);

async fn many_tasks_run_in_order_and_are_answered_in_order(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    let inputs: Vec<String> = (0..200).map(|task| format!("input {task}")).collect();
    link.assign(FIRST, &inputs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let done = link.results(200).await;
    for ((task, input), done) in (FIRST..).zip(&inputs).zip(&done) {
        assert_eq!((done.token, done.output.as_deref()), (token(task), Some(input.as_bytes())));
    }
    assert_eq!(invoked(&place), (1..FIRST + 200).collect::<Vec<_>>());
}

async fn a_task_knows_its_token_and_its_attempt(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    link.assign(FIRST, &["token"]).await;
    let expected = format!("{} 1", token(FIRST));
    assert_eq!(link.results(1).await[0].output.as_deref(), Some(expected.as_bytes()));
}

async fn a_crash_is_told_with_everything_that_the_service_had(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    link.assign(FIRST, &["one", "two", "sleep 1", "crash", "five", "six", "seven", "eight"]).await;

    let mut done = BTreeSet::new();
    let failed = loop {
        match link.next().await {
            ha::worker_up::Frame::Complete(complete) => done.extend(complete.done.iter().map(|done| done.token)),
            ha::worker_up::Frame::Failed(failed) => break failed,
            other => panic!("a result or Failed expected, not {other:?}"),
        }
    };
    let started: BTreeSet<u64> = failed.started.iter().copied().collect();
    let crash = token(FIRST + 3);
    assert!(started.contains(&crash), "{started:?}");
    assert!(started.is_disjoint(&done), "what has a result is not lost: {started:?} {done:?}");
    let ran: BTreeSet<u64> = invoked(&place).into_iter().filter(|task| *task >= FIRST).map(token).collect();
    let told: BTreeSet<u64> = started.union(&done).copied().collect();
    assert!(ran.is_subset(&told), "what ran is told: {ran:?} {told:?}");
    assert!(done.iter().all(|token| *token < crash) && ran.last() == Some(&crash), "{done:?} {ran:?}");
    assert!(format!("{:?}", failed.cause).contains("was killed by signal 6"), "{failed:?}");

    let next = FIRST + 8;
    link.assign(next, &["nine"]).await;
    assert_eq!(link.revoke_answer().await, (vec![token(next)], vec![]), "a dead executor takes no task");
}

async fn a_task_that_is_in_the_hands_of_the_service_is_cancelled_before_it_begins(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    link.assign(FIRST, &["hang-until-cancelled", "two", "three"]).await;
    until("the first task", || invoked(&place).contains(&FIRST)).await;
    link.send(Down::Cancel(ha::Cancel { tokens: vec![token(FIRST + 1)] })).await;
    soon("a task that is given back", async { while link.revoke_answer().await.0 != [token(FIRST + 1)] {} }).await;

    link.send(Down::Cancel(ha::Cancel { tokens: vec![token(FIRST)] })).await;
    assert_eq!(link.revoke_answer().await, (vec![], vec![token(FIRST)]));
    let done = link.results(2).await;
    assert_eq!((done[0].token, done[0].message.as_deref()), (token(FIRST), Some("cancelled")), "user code is told");
    assert_eq!((done[1].token, done[1].succeed), (token(FIRST + 2), true));
    assert!(!invoked(&place).contains(&(FIRST + 1)), "a task that was given back never begins");
}

async fn what_waits_behind_a_long_task_can_be_given_back(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    let wait = format!("wait {}", place.path("go").display());
    link.assign(FIRST, &[&wait, "two", "three"]).await;
    until("the first task", || invoked(&place).contains(&FIRST)).await;
    soon("a task that is given back", async {
        loop {
            link.send(Down::Recall(ha::Recall { tokens: vec![token(FIRST + 2)] })).await;
            match link.revoke_answer().await {
                (returned, _) if returned == [token(FIRST + 2)] => break,
                (_, started) => assert_eq!(started, [token(FIRST + 2)]),
            }
        }
    })
    .await;
    place.touch("go");
    let tokens: Vec<u64> = link.results(2).await.iter().map(|done| done.token).collect();
    assert_eq!(tokens, [token(FIRST), token(FIRST + 1)]);
    assert!(!invoked(&place).contains(&(FIRST + 2)), "a task that was given back never begins");
}

async fn a_stop_gives_back_what_the_service_has_not_begun(dialect: &str) {
    let place = Place::new();
    let (_hub, _worker, mut link) = warm(&place, dialect).await;
    let wait = format!("wait {}", place.path("go").display());
    link.assign(FIRST, &[&wait, "two", "three"]).await;
    until("the first task", || invoked(&place).contains(&FIRST)).await;
    link.send(Down::Stop(ha::Stop { executor: EXECUTOR })).await;
    let mut returned = Vec::new();
    while returned.len() < 2 {
        returned.extend(link.revoke_answer().await.0);
    }
    returned.sort_unstable();
    assert_eq!(returned, [token(FIRST + 1), token(FIRST + 2)]);
    place.touch("go");
    assert_eq!(link.results(1).await[0].token, token(FIRST));
    link.left().await;
}
