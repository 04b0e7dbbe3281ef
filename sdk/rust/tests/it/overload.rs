//! A coordinator that has too much to do: nothing was done, and the client comes back when it was told to.

use std::time::Duration;

use flame_proto::ha;
use flame_sdk::types::TaskNo;
use flame_sdk::{Connection, Endpoints, FlameError, Options};
use futures::{StreamExt, TryStreamExt};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::fake::{Fake, Script, connect};
use crate::fake_sessions::succeeded;

/// What an overloaded coordinator says.
fn busy(wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, "this node has too much to do", details)
}

fn busy_for_a_while() -> Vec<Status> {
    vec![busy(Duration::from_millis(20)), busy(Duration::from_millis(5))]
}

/// A client that gives up before long.
fn hasty(fake: &Fake) -> Connection {
    let options = Options { deadline: Duration::from_millis(300), ..Options::default() };
    Connection::open(Endpoints::parse(&[fake.address.to_string()]).unwrap(), options).unwrap()
}

#[tokio::test]
async fn a_call_comes_back_until_there_is_room() {
    let fake = Fake::start(Script { refusals: busy_for_a_while(), ..Script::default() }).await;
    connect(&[fake.address]).create_task("s", None).await.unwrap();
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 1));
    let requests = fake.script(|script| script.requests.clone());
    assert!(requests.iter().all(|mark| mark.is_some() && *mark == requests[0]), "it is the same submit: {requests:?}");
}

#[tokio::test]
async fn without_a_time_to_come_back_it_is_a_limit_and_told_at_once() {
    let refusals = vec![Status::resource_exhausted("limit reached: sessions = 9")];
    let fake = Fake::start(Script { refusals, ..Script::default() }).await;
    let error = connect(&[fake.address]).create_task("s", None).await.unwrap_err();
    assert_eq!(error, FlameError::ResourceExhausted("limit reached: sessions = 9".to_owned()));
    assert_eq!(fake.script(|script| script.calls), 1);
}

#[tokio::test]
async fn at_the_deadline_it_is_an_overload_and_nothing_was_done() {
    let refusals = vec![busy(Duration::from_millis(10)); 10_000];
    let fake = Fake::start(Script { refusals, ..Script::default() }).await;
    let error = hasty(&fake).create_task("s", None).await.unwrap_err();
    assert!(matches!(&error, FlameError::Overloaded(text) if text.contains("too much to do")), "{error}");
    assert_eq!(fake.script(|script| script.tasks), 0);
}

#[tokio::test]
async fn an_overload_after_a_lost_answer_is_an_unknown_outcome() {
    let refusals_after_loss = vec![busy(Duration::from_millis(10)); 10_000];
    let fake = Fake::start(Script { lose_answers: 1, refusals_after_loss, ..Script::default() }).await;
    let error = hasty(&fake).create_task("s", None).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)), "{error}");
}

#[tokio::test]
async fn listings_and_watches_come_back() {
    let fake = Fake::start(Script { refusals: busy_for_a_while(), tasks: 3, ..Script::default() }).await;
    let connection = connect(&[fake.address]);
    let tasks: Vec<_> = connection.list_tasks("s").try_collect().await.unwrap();
    assert_eq!(tasks.len(), 3);
    fake.script(|script| script.refusals = busy_for_a_while());
    let (watcher, mut updates) = connection.watch_tasks("s");
    watcher.add(TaskNo(1)).await.unwrap();
    assert_eq!(updates.next().await.unwrap().unwrap().number().unwrap(), TaskNo(1));
    assert!(fake.script(|script| script.refusals.is_empty()));
}

#[tokio::test]
async fn a_stream_that_finds_no_room_is_opened_again_and_loses_nothing() {
    let mut fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address]);
    let serve = async {
        for status in busy_for_a_while() {
            fake.stream().await.end(status).await;
        }
        let mut peer = fake.stream().await;
        peer.open(7).await;
        peer.watch().await;
        peer
    };
    let (stream, mut peer) = futures::join!(connection.open_stream("s"), serve);
    let stream = stream.unwrap();
    let task = stream.submit(Some("in".into())).await.unwrap();
    let sent: ha::SubmitTasks = peer.submit().await;
    peer.end(busy(Duration::from_millis(5))).await;
    let mut peer = fake.stream().await;
    assert_eq!(peer.open(7).await.client, 7, "it is the same client");
    assert_eq!(peer.submit().await, sent, "the same frame under the same number");
    peer.accept(1, 1, 1).await;
    peer.watch().await;
    peer.results(11, vec![succeeded(1, "out")]).await;
    assert!(task.await.unwrap().succeeded());
}
