//! Listings.

use flame_proto::v1;
use flame_proto::v1::TaskState::{Pending, Succeed};
use tonic::{Code, Status};

use crate::fake::{Fake, Served, rest, several, shown};

fn request() -> v1::ListTasksRequest {
    v1::ListTasksRequest { session_id: "s".into() }
}

#[tokio::test]
async fn a_listing_that_breaks_goes_on_elsewhere_without_repetition() {
    let breaks = || Err(Status::unavailable("this node is stopping"));
    let first = Fake::start(move |_| Ok(several([shown(1, Pending), shown(2, Pending), breaks()])));
    let second = Fake::start(|_| Ok(several((1..=5).map(|number| shown(number, Succeed)))));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut listing = proxy.client().await.list_tasks(request()).await.unwrap().into_inner();
    let listed = rest(&mut listing).await.unwrap();
    assert_eq!(listed, [(1, Pending), (2, Pending), (3, Succeed), (4, Succeed), (5, Succeed)]);
}

#[tokio::test]
async fn a_coordinator_that_dies_ends_no_listing() {
    // It dies with a part of the answer under way.
    let mut first = Fake::start(|_| Ok(crate::fake::and_then_nothing([shown(1, Pending)])));
    let second = Fake::start(|_| Ok(several([shown(1, Pending), shown(7, Pending)])));
    let proxy = Served::start(&[first.address, second.address]).await;
    let mut listing = proxy.client().await.list_tasks(request()).await.unwrap().into_inner();
    assert_eq!(crate::fake::next(&mut listing).await.unwrap(), Some((1, Pending)));
    first.die();
    assert_eq!(rest(&mut listing).await.unwrap(), [(7, Pending)]);
}

#[tokio::test]
async fn whoever_gives_the_numbers_gives_the_order() {
    let fake = Fake::start(|_| Ok(several([shown(3, Pending), shown(1, Pending), shown(2, Pending)])));
    let proxy = Served::start(&[fake.address]).await;
    let request = v1::ListTaskRequest { session_id: "s".into() };
    let mut listing = proxy.client().await.list_task(request).await.unwrap().into_inner();
    let listed: Vec<u64> = rest(&mut listing).await.unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(listed, [3, 1, 2], "an unbroken listing is passed on as it is");
}

#[tokio::test]
async fn a_refusal_is_the_answer_and_no_listing() {
    let fake = Fake::start(|_| Err(Status::not_found("session s not found")));
    let proxy = Served::start(&[fake.address]).await;
    let refused = proxy.client().await.list_tasks(request()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "session s not found"));
}
