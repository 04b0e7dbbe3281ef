//! What a stream may and may not say, and what becomes of what was said when it ends.

use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as Down;
use flame_proto::ha::cache_up::Frame as Up;
use flame_proto::ha::object_refused::Reason;
use flame_proto::ha::refused;
use flame_types::limits::OBJECTS_PER_REPORT_MAX;
use tonic::Code;

use super::node::{Cache, Node, held, hello, recorded};
use crate::consensus::harness::eventually;

async fn refusal(mut cache: Cache) -> refused::Reason {
    match cache.next().await {
        Down::Refused(refused) => refused.reason(),
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_welcome_is_told_why() {
    let node = Node::start().await;
    let first = node.open(Up::Heartbeat(ha::Heartbeat { number: 1 })).await;
    assert_eq!(first.end().await.unwrap().code(), Code::InvalidArgument);
    let foreign = ha::CacheHello { cluster_id: "another".into(), ..hello("c1", 1) };
    assert_eq!(refusal(node.open(Up::Hello(foreign)).await).await, refused::Reason::OtherCluster);
    for wrong in [
        ha::CacheHello { cache: "../x".into(), ..hello("c1", 1) },
        ha::CacheHello { endpoint: String::new(), ..hello("c1", 1) },
    ] {
        assert_eq!(refusal(node.open(Up::Hello(wrong)).await).await, refused::Reason::Invalid);
    }
    let _c1 = node.cache("c1").await;
    let stale = node.open(Up::Hello(hello("c1", 1))).await;
    assert_eq!(refusal(stale).await, refused::Reason::StaleHello);
    let host = Some(ha::Host { name: "elsewhere".into(), ..ha::Host::default() });
    let other = ha::CacheHello { started_ms: 2, host, ..hello("c1", 1) };
    assert_eq!(refusal(node.open(Up::Hello(other)).await).await, refused::Reason::NameInUse);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_object_concerns_no_other() {
    let node = Node::start().await;
    let mut c1 = node.cache("c1").await;
    let nameless = ha::HeldObject { data_type: String::new(), ..held("app/s/b", 1) };
    let report = vec![held("app/s", 1), held("app/s/a", 1), nameless, held("app/s/c", 0), recorded("app/s/d", 1)];
    let refused = c1.report(report, vec![("no key", 1)]).await;
    let mut told: Vec<(u32, Reason)> = refused.iter().map(|refused| (refused.at, refused.reason())).collect();
    told.sort_by_key(|(at, _)| *at);
    let expected = [(0, Reason::Invalid), (2, Reason::Invalid), (3, Reason::Invalid), (4, Reason::Deleted)];
    assert_eq!(told, expected);
    assert!(refused[0].message.contains("application/session/object"), "{refused:?}");
    assert_eq!(node.locate("app/s/a").await.unwrap().version, 1);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_write_the_same_version_hear_who_was_first() {
    let node = Node::start().await;
    let (mut c1, mut c2) = (node.cache("c1").await, node.cache("c2").await);
    assert_eq!(c1.report(vec![held("app/s/o", 1)], Vec::new()).await, []);
    assert_eq!(c2.report(vec![held("app/s/o", 2)], Vec::new()).await, []);
    match c1.next().await {
        Down::Drop(dropped) => assert_eq!(dropped.objects[0].version, 1),
        other => panic!("{other:?} is no order to drop"),
    }
    let refused = c1.report(vec![held("app/s/o", 2)], Vec::new()).await;
    assert_eq!((refused[0].reason(), refused[0].present), (Reason::Stale, 2));
    assert_eq!(node.locate("app/s/o").await.unwrap().places[0].cache, "c2");
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_says_what_it_has_in_pages() {
    const PAGE: usize = 400;
    let node = Node::start().await;
    let mut c1 = node.cache("c1").await;
    let key = |at: usize| format!("app/s/{at:05}");
    for page in 0..3 {
        let page = (0..PAGE).map(|at| held(&key(page * PAGE + at), 1)).collect();
        assert_eq!(c1.report(page, Vec::new()).await, []);
    }
    drop(c1);
    eventually("it is detached", async || (!node.nodes().await[0].attached).then_some(())).await;
    assert!(!node.nodes().await[0].away, "it has a while to come back");

    // It has lost the second page and a part of the first one, and a new object.
    let mut c1 = node.back("c1", 2).await;
    let first: Vec<_> = (10..PAGE).map(|at| recorded(&key(at), 1)).collect();
    assert_eq!(c1.inventory(first, false).await, []);
    let mut last: Vec<_> = (2 * PAGE..3 * PAGE).map(|at| recorded(&key(at), 1)).collect();
    last.push(held("app/t/new", 1));
    assert_eq!(c1.inventory(last, true).await, []);
    let nodes = node.nodes().await;
    assert_eq!(nodes[0].objects as usize, 2 * PAGE - 10 + 1, "{nodes:?}");
    assert_eq!(node.locate(&key(PAGE)).await.unwrap().places, [], "it is lost");
    assert_eq!(node.locate("app/t/new").await.unwrap().version, 1);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_the_rules_ends() {
    let node = Node::start().await;
    let mut at = 0;
    for (what, frame) in [
        ("a second Hello", Up::Hello(hello("c1", 99))),
        ("a number that does not grow", Up::Report(ha::ObjectReport { number: 0, ..ha::ObjectReport::default() })),
        (
            "too many objects",
            Up::Report(ha::ObjectReport {
                number: 9,
                held: vec![held("app/s/o", 1); OBJECTS_PER_REPORT_MAX + 1],
                gone: Vec::new(),
            }),
        ),
        (
            "an inventory out of order",
            Up::Inventory(ha::CacheInventory {
                number: 9,
                held: vec![held("app/s/p", 1), held("app/s/o", 1)],
                last: true,
            }),
        ),
        ("an empty page in between", Up::Inventory(ha::CacheInventory { number: 9, ..ha::CacheInventory::default() })),
    ] {
        at += 1;
        let cache = node.back("c1", at).await;
        cache.send(frame).await;
        let end = cache.end().await.unwrap_or_else(|| panic!("{what}: a clean end"));
        assert_eq!(end.code(), Code::Unavailable, "{what}: {end}");
    }
    let mut twice = node.cache("c2").await;
    twice.number += 1;
    let late = ha::CacheInventory { number: twice.number, held: Vec::new(), last: true };
    twice.send(Up::Inventory(late)).await;
    assert_eq!(twice.end().await.unwrap().code(), Code::Unavailable, "a page after the last one");
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_answered_and_a_node_that_stops_gets_no_orders() {
    let node = Node::start().await;
    let (mut c1, mut c2) = (node.cache("c1").await, node.cache("c2").await);
    c1.send(Up::Heartbeat(ha::Heartbeat { number: 7 })).await;
    match c1.next().await {
        Down::LeaseAck(ack) => assert_eq!(ack.number, 7),
        other => panic!("{other:?} is no answer to a heartbeat"),
    }
    c1.send(Up::Stopping(ha::Stopping {})).await;
    eventually("it counts as detached", async || (!node.nodes().await[0].attached).then_some(())).await;
    assert_eq!(c2.report(vec![held("app/shared/m", 1)], Vec::new()).await, []);
    assert_eq!(c1.report(vec![held("app/s/o", 1)], Vec::new()).await, [], "what it says still counts");
    assert_eq!(node.locate("app/shared/m").await.unwrap().places.len(), 1);
    c1.send(Up::Goodbye(ha::Goodbye {})).await;
    assert!(c1.end().await.is_none(), "a goodbye is answered with the end of the stream");
    let lost = eventually("what only it has is lost", async || {
        let found = node.locate("app/s/o").await.unwrap();
        found.places.iter().all(|place| place.away).then_some(found)
    })
    .await;
    assert_eq!(lost.places.len(), 1, "until it is back: {lost:?}");
    node.parts.consensus.shutdown().await;
}
