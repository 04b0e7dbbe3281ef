//! Which call is sent again, where, and when not.

use flame_sdk::model::ApplicationSpec;
use flame_sdk::{FlameError, SessionOptions};
use futures::TryStreamExt;
use tonic::Status;

use crate::fake::{Fake, Script, breaker, connect, nobody};

fn unavailable() -> Status {
    Status::unavailable("no leader")
}

#[tokio::test]
async fn a_dead_endpoint_is_left_for_the_next() {
    let fake = Fake::start(Script::default()).await;
    let connection = connect(&[nobody().await, fake.address]);
    connection.create_task("s", None).await.unwrap();
    connection.create_task("s", None).await.unwrap();
    assert_eq!(fake.script(|script| script.tasks), 2);
}

#[tokio::test]
async fn nobody_anywhere_is_unavailable_and_named() {
    let address = nobody().await;
    let options = flame_sdk::Options { deadline: std::time::Duration::from_millis(200), ..Default::default() };
    let endpoints = flame_sdk::Endpoints::parse(&[address.to_string()]).unwrap();
    let connection = flame_sdk::Connection::open(endpoints, options).unwrap();
    let error = connection.list_sessions(None, None).await.unwrap_err();
    assert!(matches!(&error, FlameError::Unavailable(text) if text.contains(&address.to_string())), "{error}");
}

#[tokio::test]
async fn a_task_is_sent_again_when_the_server_has_done_nothing() {
    let fake = Fake::start(Script { refusals: vec![unavailable(), unavailable()], ..Script::default() }).await;
    connect(&[fake.address]).create_task("s", None).await.unwrap();
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 1));
    let keys = fake.script(|script| script.keys.clone());
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 16), "all attempts carry the same key: {keys:?}");
}

#[tokio::test]
async fn a_task_whose_answers_are_lost_is_sent_again_with_its_key_and_made_once() {
    let fake = Fake::start(Script { lose_answers: 2, ..Script::default() }).await;
    let connection = connect(&[fake.address]);
    let task = connection.create_task("s", None).await.unwrap();
    assert_eq!(task.metadata.id, "1");
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 1));
    let next = connection.create_task("s", None).await.unwrap();
    assert_eq!(next.metadata.id, "2");
    let keys = fake.script(|script| script.keys.clone());
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "all attempts carry the same key: {keys:?}");
    assert!(keys.len() == 4 && keys[3] != keys[0], "another submit has another key: {keys:?}");
}

#[tokio::test]
async fn a_task_goes_on_elsewhere_when_the_connection_breaks_under_it() {
    let (address, connections) = breaker().await;
    let fake = Fake::start(Script::default()).await;
    let connection = connect(&[address, fake.address]);
    connection.create_task("s", None).await.unwrap();
    assert_eq!(*connections.lock().unwrap(), 1);
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (1, 1));
}

#[tokio::test]
async fn a_task_whose_answers_are_all_lost_is_an_unknown_outcome() {
    let fake = Fake::start(Script { lose_answers: u32::MAX, ..Script::default() }).await;
    let options = flame_sdk::Options { deadline: std::time::Duration::from_millis(300), ..Default::default() };
    let endpoints = flame_sdk::Endpoints::parse(&[fake.address.to_string()]).unwrap();
    let connection = flame_sdk::Connection::open(endpoints, options).unwrap();
    let error = connection.create_task("s", None).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)), "{error}");
    assert_eq!(fake.script(|script| script.tasks), 1);
}

#[tokio::test]
async fn a_refusal_of_a_repeat_does_not_promise_that_nothing_was_done() {
    let refusals_after_loss = vec![Status::invalid_argument("session s is not open")];
    let fake = Fake::start(Script { lose_answers: 1, refusals_after_loss, ..Script::default() }).await;
    let error = connect(&[fake.address]).create_task("s", None).await.unwrap_err();
    assert!(matches!(&error, FlameError::UnknownOutcome(text) if text.contains("is not open")), "{error}");
    assert_eq!(fake.script(|script| script.tasks), 1, "the session was closed after the task was made");
}

#[tokio::test]
async fn an_update_that_was_done_is_done_although_its_repeat_is_refused() {
    let in_use = || vec![Status::internal("2 open sessions in the application a; close them first")];
    let script = Script { lose_answers: 1, refusals_after_loss: in_use(), ..Script::default() };
    let fake = Fake::start(script).await;
    let connection = connect(&[fake.address]);
    let spec = ApplicationSpec { command: Some("/bin/true".into()), ..ApplicationSpec::default() };
    connection.update_application("a", spec.clone()).await.unwrap();
    fake.script(|script| script.refusals = in_use());
    let error = connection.update_application("a", spec).await.unwrap_err();
    assert!(matches!(error, FlameError::FailedPrecondition(_)), "without a lost answer it is what it says: {error}");
}

#[tokio::test]
async fn a_read_goes_on_elsewhere_when_the_connection_breaks_under_it() {
    let (address, _) = breaker().await;
    let fake = Fake::start(Script::default()).await;
    fake.script(|script| script.sessions.insert("s".into(), flame_proto::v1::SessionSpec::default()));
    let session = connect(&[address, fake.address]).get_session("s").await.unwrap();
    assert_eq!(session.metadata.id, "s");
}

#[tokio::test]
async fn a_session_with_a_drawn_id_is_made_once_although_the_answer_is_lost() {
    let fake = Fake::start(Script { lose_answers: 1, ..Script::default() }).await;
    let session = connect(&[fake.address]).create_session(&SessionOptions::new("app")).await.unwrap();
    assert!(session.metadata.id.starts_with("app-"));
    assert_eq!(fake.script(|script| script.sessions.len()), 1);
}

#[tokio::test]
async fn a_chosen_id_that_exists_after_a_lost_answer_is_an_unknown_outcome() {
    let fake = Fake::start(Script { lose_answers: 1, ..Script::default() }).await;
    let options = SessionOptions { id: Some("mine".into()), ..SessionOptions::new("app") };
    let error = connect(&[fake.address]).create_session(&options).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)), "{error}");
    let error = connect(&[fake.address]).create_session(&options).await.unwrap_err();
    assert!(matches!(error, FlameError::AlreadyExists(_)), "{error}");
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_done() {
    let fake = Fake::start(Script { lose_answers: 1, ..Script::default() }).await;
    fake.script(|script| script.sessions.insert("s".into(), flame_proto::v1::SessionSpec::default()));
    let connection = connect(&[fake.address]);
    connection.delete_session("s").await.unwrap();
    let error = connection.delete_session("s").await.unwrap_err();
    assert!(matches!(error, FlameError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn a_listing_that_breaks_goes_on_without_repeating_a_task() {
    let fake = Fake::start(Script { tasks: 10, lose_answers: 2, ..Script::default() }).await;
    let tasks: Vec<_> = connect(&[fake.address]).list_tasks("s").try_collect().await.unwrap();
    let mut numbers: Vec<u64> = tasks.iter().map(|task| task.number().unwrap().0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}
