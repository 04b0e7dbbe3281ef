//! Watches of one task.

use std::time::Duration;

use flame_proto::v1;
use flame_proto::v1::TaskState::{Pending, Running, Succeed};
use flame_sdk::Options;
use tonic::{Code, Status, Streaming};

use crate::fake::{Fake, Served, and_then_nothing, next, rest, several, shown};

async fn watch(proxy: &Served) -> Result<Streaming<v1::Task>, Status> {
    let request = v1::WatchTaskRequest { task_id: "1".into(), session_id: "s".into() };
    Ok(proxy.client().await.watch_task(request).await?.into_inner())
}

#[tokio::test]
async fn a_watch_goes_on_elsewhere_and_tells_nothing_twice() {
    let mut first = Fake::start(|_| Ok(and_then_nothing([shown(1, Pending), shown(1, Running)])));
    // It is behind, and then not any more.
    let second = Fake::start(|_| Ok(several([shown(1, Pending), shown(1, Running), shown(1, Succeed)])));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut updates = watch(&proxy).await.unwrap();
    assert_eq!(next(&mut updates).await.unwrap(), Some((1, Pending)));
    assert_eq!(next(&mut updates).await.unwrap(), Some((1, Running)));
    first.die();
    assert_eq!(rest(&mut updates).await.unwrap(), [(1, Succeed)]);
}

#[tokio::test]
async fn an_end_that_is_none_is_not_passed_on() {
    let first = Fake::start(|_| Ok(several([shown(1, Running)])));
    let second = Fake::start(|_| Ok(several([])));
    let third = Fake::start(|_| Ok(several([shown(1, Succeed)])));
    let proxy = Served::start(&[first.address, second.address, third.address]).await;
    let mut updates = watch(&proxy).await.unwrap();
    assert_eq!(rest(&mut updates).await.unwrap(), [(1, Running), (1, Succeed)]);
    assert_eq!(first.asked().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_the_answer_whenever_it_comes() {
    let gone = || Status::not_found("session s was deleted");
    let fake = Fake::start(move |_| Ok(several([shown(1, Running), Err(gone())])));
    let proxy = Served::start(&[fake.address]).await;
    let mut updates = watch(&proxy).await.unwrap();
    assert_eq!(next(&mut updates).await.unwrap(), Some((1, Running)));
    let refused = next(&mut updates).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "session s was deleted"));
    let fake = Fake::start(move |_| Err(gone()));
    let proxy = Served::start(&[fake.address]).await;
    assert_eq!(watch(&proxy).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_that_nobody_serves_any_more_is_given_up_with_an_error() {
    let mut fake = Fake::start(|_| Ok(and_then_nothing([shown(1, Running)])));
    let short = Duration::from_millis(300);
    let options = Options { deadline: short, patience: short, ..Options::default() };
    let proxy = Served::start_with(&[fake.address], options).await;
    let mut updates = watch(&proxy).await.unwrap();
    assert_eq!(next(&mut updates).await.unwrap(), Some((1, Running)));
    fake.die();
    let error = next(&mut updates).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}
