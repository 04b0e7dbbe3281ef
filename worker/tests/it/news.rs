//! A coordinator that does not lead tells the worker who does.

use crate::hub::Hub;
use crate::worker::{Place, Worker};

#[tokio::test]
async fn a_leader_that_was_replaced_and_does_not_know_it_is_left() {
    let place = Place::new();
    let (mut old, mut follower, mut new) = (Hub::start().await, Hub::start().await, Hub::start().await);
    let _worker = Worker::start(&place, &[&old.endpoint, &follower.endpoint]);
    let link = old.attach_in(1).await;
    let told = follower.follower().await;
    assert_eq!(told.asked.cluster_id, "c-1");
    told.tell(1, &old).await;
    told.tell(2, &new).await;
    let hello = new.attach_in(2).await.hello;
    assert_eq!((hello.hello, hello.cluster_id.as_str()), (2, "c-1"), "it has been nowhere else");
    link.until_left().await;
    // From now on it asks whoever is behind the leader it has.
    old.follower().await;
}

#[tokio::test]
async fn a_search_ends_when_somebody_tells() {
    let place = Place::new();
    let (mut old, mut follower, mut new) = (Hub::start().await, Hub::start().await, Hub::start().await);
    let _worker = Worker::start(&place, &[&old.endpoint, &follower.endpoint]);
    let link = old.attach_in(1).await;
    let told = follower.follower().await;
    drop(link);
    drop(old);
    // It asks around, and whoever it knows has no answer yet. The new leader it has never heard of.
    let asked = follower.hello().await;
    told.tell(2, &new).await;
    new.attach_in(2).await;
    asked.until_left().await;
}

#[tokio::test]
async fn old_news_is_no_news() {
    let place = Place::new();
    let (mut leader, mut follower) = (Hub::start().await, Hub::start().await);
    let (stale, mut new) = (Hub::start().await, Hub::start().await);
    let _worker = Worker::start(&place, &[&leader.endpoint, &follower.endpoint]);
    let _link = leader.attach_in(5).await;
    let told = follower.follower().await;
    told.tell(4, &stale).await;
    told.tell(5, &stale).await;
    told.tell(6, &new).await;
    new.attach_in(6).await;
    assert!(stale.is_left_alone(), "whoever led before is not asked");
}

#[tokio::test]
async fn when_one_tells_no_more_the_next_is_asked() {
    let place = Place::new();
    let (mut leader, mut first, mut second) = (Hub::start().await, Hub::start().await, Hub::start().await);
    let mut new = Hub::start().await;
    let _worker = Worker::start(&place, &[&leader.endpoint, &first.endpoint, &second.endpoint]);
    let _link = leader.attach_in(1).await;
    drop(first.follower().await);
    second.follower().await.tell(2, &new).await;
    new.attach_in(2).await;
}
