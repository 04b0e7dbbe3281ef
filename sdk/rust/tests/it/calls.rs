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

/// The request ids of the changes that came, in order.
fn ids(fake: &Fake) -> Vec<Vec<u8>> {
    fake.script(|script| script.requests.iter().map(|mark| mark.clone().expect("it carries an id").0).collect())
}

#[tokio::test]
async fn a_task_is_sent_again_when_the_server_has_done_nothing() {
    let fake = Fake::start(Script { refusals: vec![unavailable(), unavailable()], ..Script::default() }).await;
    connect(&[fake.address]).create_task("s", None).await.unwrap();
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 1));
    let ids = ids(&fake);
    assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 16), "all attempts carry the same id: {ids:?}");
}

#[tokio::test]
async fn a_change_whose_answers_are_lost_is_sent_again_with_its_id_elsewhere_and_made_once() {
    let fake = Fake::start(Script { lose_answers: 2, ..Script::default() }).await;
    let other = Fake::beside(&fake).await;
    let connection = connect(&[fake.address, other.address]);
    let task = connection.create_task("s", None).await.unwrap();
    assert_eq!(task.metadata.id, "1");
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 1));
    let ports = fake.script(|script| script.ports.clone());
    assert_eq!(ports, [fake.address, other.address, fake.address].map(|address| address.port()));
    let next = connection.create_task("s", None).await.unwrap();
    assert_eq!(next.metadata.id, "2");
    let ids = ids(&fake);
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "all attempts carry the same id: {ids:?}");
    assert!(ids.len() == 4 && ids[3] != ids[0], "another change has another id: {ids:?}");
    let seen: Vec<u64> = fake.script(|script| script.requests.iter().flatten().map(|(_, seen)| *seen).collect());
    assert_eq!(seen, [1; 4], "what was heard before the first attempt");
}

#[tokio::test]
async fn a_change_that_comes_too_late_begins_anew_unless_an_answer_was_lost() {
    let fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address]);
    connection.create_task("s", None).await.unwrap();
    // Others have changed so much that nobody remembers the first one.
    fake.script(|script| (script.next_request, script.forgotten_below) = (70_000, 5_000));
    connection.create_task("s", None).await.unwrap();
    let marks = fake.script(|script| script.requests.clone().into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(marks.iter().map(|mark| mark.1).collect::<Vec<_>>(), [1, 1, 70_000]);
    assert_ne!(marks[1].0, marks[2].0, "it is another change");
    assert_eq!(fake.script(|script| script.tasks), 2);

    fake.script(|script| {
        script.lose_answers = 1;
        let mut forgotten = Status::aborted("nobody remembers any more whether this request was done");
        forgotten.metadata_mut().insert("flame-request-seen", 200_000.into());
        script.refusals_after_loss = vec![forgotten];
    });
    let error = connection.create_task("s", None).await.unwrap_err();
    assert!(matches!(&error, FlameError::UnknownOutcome(text) if text.contains("nobody remembers")), "{error}");
    assert_eq!(fake.script(|script| script.tasks), 3, "it was done, and is not sent anew");
}

#[tokio::test]
async fn a_server_that_knows_no_request_ids_gets_a_change_once() {
    let fake = Fake::start(Script { next_request: 0, lose_answers: 1, ..Script::default() }).await;
    let error = connect(&[fake.address]).create_task("s", None).await.unwrap_err();
    assert!(matches!(error, FlameError::UnknownOutcome(_)), "{error}");
    assert_eq!(fake.script(|script| (script.calls, script.tasks, script.requests.clone())), (1, 1, vec![None]));
}

#[tokio::test]
async fn a_task_goes_on_elsewhere_when_the_connection_breaks_under_it() {
    let (address, connections) = breaker().await;
    let fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address, address]);
    connection.create_task("s", None).await.unwrap();
    assert_eq!(*connections.lock().unwrap(), 0);
    // It is sent away, there the connection breaks, and it comes back.
    fake.script(|script| script.refusals = vec![unavailable()]);
    connection.create_task("s", None).await.unwrap();
    assert_eq!(*connections.lock().unwrap(), 1);
    assert_eq!(fake.script(|script| (script.calls, script.tasks)), (3, 2));
    let ids = ids(&fake);
    assert!(ids[1] == ids[2] && ids[0] != ids[1], "{ids:?}");
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
async fn the_answer_to_a_repeat_is_that_of_the_first_attempt() {
    let fake = Fake::start(Script { lose_answers: 1, ..Script::default() }).await;
    let connection = connect(&[fake.address]);
    let spec = ApplicationSpec { command: Some("/bin/true".into()), ..ApplicationSpec::default() };
    connection.update_application("a", spec.clone()).await.unwrap();
    assert_eq!(fake.script(|script| script.calls), 2);
    fake.script(|script| {
        script.refusals = vec![Status::internal("2 open sessions in the application a; close them first")]
    });
    let error = connection.update_application("a", spec).await.unwrap_err();
    assert!(matches!(error, FlameError::FailedPrecondition(_)), "{error}");
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
async fn a_chosen_id_is_taken_once_although_the_answer_is_lost() {
    let fake = Fake::start(Script { lose_answers: 1, ..Script::default() }).await;
    let options = SessionOptions { id: Some("mine".into()), ..SessionOptions::new("app") };
    let session = connect(&[fake.address]).create_session(&options).await.unwrap();
    assert_eq!((session.metadata.id.as_str(), fake.script(|script| script.calls)), ("mine", 2));
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
