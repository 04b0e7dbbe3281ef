//! Where objects lie, and how they are deleted and copied.

use flame_machine::command::Command;
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as Down;
use flame_proto::ha::cache_up::Frame as Up;
use flame_proto::ha::object_refused::Reason;
use flame_types::{AppName, SessionId, SessionSpec};
use tonic::Code;

use super::node::{Node, held, recorded};
use crate::consensus::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_found_where_it_was_reported() {
    let node = Node::start().await;
    let mut c1 = node.cache("c1").await;
    assert_eq!(node.locate("app/s/o").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(c1.report(vec![held("app/s/o", 1), held("app/s/p", 4)], Vec::new()).await, []);

    let found = node.locate("app/s/o").await.unwrap();
    assert_eq!((found.version, found.size, found.data_type.as_str(), found.created_ms), (1, 10, "raw", 5));
    assert_eq!((found.copies, found.places.len()), (1, 1));
    let place = &found.places[0];
    assert_eq!((place.cache.as_str(), place.endpoint.as_str()), ("c1", "grpc://c1:9090"));
    assert!(place.attached && !place.away);

    let nodes = node.nodes().await;
    assert_eq!((nodes[0].name.as_str(), nodes[0].hostname.as_str()), ("c1", "host"));
    assert_eq!((nodes[0].objects, nodes[0].bytes, nodes[0].disk_bytes), (2, 20, 1 << 30));

    for (target, limit, keys, next) in [
        ("", 0, vec!["app/s/o", "app/s/p"], ""),
        ("app/s", 1, vec!["app/s/o"], "app/s/o"),
        ("app/*", 0, vec!["app/s/o", "app/s/p"], ""),
        ("app/t", 0, vec![], ""),
    ] {
        let request = ha::ListDirectoryRequest { target: target.into(), after: String::new(), limit };
        let page = node.directory().list(request).await.unwrap().into_inner();
        let found: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!((found, page.next.as_str()), (keys, next), "{target}");
    }
    for bad in ["app/s", "app/*/o", "app/../o", ""] {
        assert_eq!(node.locate(bad).await.unwrap_err().code(), Code::InvalidArgument, "{bad}");
    }
    assert_eq!(node.delete("app").await.unwrap_err().code(), Code::InvalidArgument);
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sessions_share_is_copied_and_copied_again_when_a_node_is_lost() {
    let node = Node::start().await;
    let (mut c1, mut c2) = (node.cache("c1").await, node.cache("c2").await);
    assert_eq!(c1.report(vec![held("app/shared/m", 1)], Vec::new()).await, []);
    let order = match c2.next().await {
        Down::Fetch(fetch) => fetch.objects,
        other => panic!("{other:?} is no order to fetch"),
    };
    assert_eq!(order.len(), 1);
    assert_eq!((order[0].key.as_str(), order[0].version, order[0].size), ("app/shared/m", 1, 10));
    assert_eq!(order[0].from, ["grpc://c1:9090"]);
    assert_eq!(c2.report(vec![recorded("app/shared/m", 1)], Vec::new()).await, []);
    match c1.next().await {
        Down::Copied(copied) => assert_eq!((copied.key.as_str(), copied.copies), ("app/shared/m", 2)),
        other => panic!("{other:?}: the first holder is told of the copy"),
    }

    // Its last word: what it has counts no more, and somebody else is to have it.
    c1.send(Up::Goodbye(ha::Goodbye {})).await;
    assert!(c1.end().await.is_none(), "a goodbye is answered with the end of the stream");
    let found = eventually("the first holder is away", async || {
        let found = node.locate("app/shared/m").await.unwrap();
        found.places[0].away.then_some(found)
    })
    .await;
    assert!(!found.places[1].away, "{found:?}");
    let mut c3 = node.cache("c3").await;
    let order = match c3.next().await {
        Down::Fetch(fetch) => fetch.objects,
        other => panic!("{other:?} is no order to fetch"),
    };
    assert_eq!(order[0].from, ["grpc://c2:9090"]);
    assert_eq!(c3.report(vec![recorded("app/shared/m", 1)], Vec::new()).await, []);
    let places = node.locate("app/shared/m").await.unwrap().places;
    assert_eq!(places.iter().map(|place| place.cache.as_str()).collect::<Vec<_>>(), ["c2", "c3"]);

    // It comes back when nobody needs it any more.
    let mut c1 = node.back("c1", 2).await;
    let refused = c1.inventory(vec![recorded("app/shared/m", 1)], true).await;
    assert_eq!((refused.len(), refused[0].reason()), (1, Reason::Surplus));
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_reaches_who_has_it_and_who_comes_back_with_it() {
    let node = Node::start().await;
    let (mut c1, mut c2) = (node.cache("c1").await, node.cache("c2").await);
    assert_eq!(c1.report(vec![held("app/s/o", 2), held("app/t/o", 1)], Vec::new()).await, []);
    assert_eq!(c2.report(vec![held("app/s/p", 1)], Vec::new()).await, []);
    drop(c2);
    for _ in 0..2 {
        node.delete("app/s").await.unwrap();
    }
    match c1.next().await {
        Down::Drop(dropped) => {
            let expected = ha::ObjectVersion { key: "app/s/o".into(), version: 2 };
            assert_eq!(dropped.objects, [expected]);
        }
        other => panic!("{other:?} is no order to drop"),
    }
    for key in ["app/s/o", "app/s/p"] {
        assert_eq!(node.locate(key).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(node.locate("app/t/o").await.unwrap().version, 1);

    let mut c2 = node.back("c2", 2).await;
    let refused = c2.inventory(vec![recorded("app/s/p", 1), held("app/s/q", 1)], true).await;
    assert_eq!((refused.len(), refused[0].at, refused[0].reason()), (1, 0, Reason::Deleted));
    assert_eq!(node.locate("app/s/q").await.unwrap().version, 1, "what was never recorded is news");
    node.parts.consensus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_its_objects_along_however_many() {
    const PAGES: usize = 3;
    let node = Node::start().await;
    let id = SessionId::parse("s").unwrap();
    let spec = SessionSpec::new(AppName::parse("flmping").unwrap());
    node.done(Command::Create { id: id.clone(), spec: Box::new(spec) }).await;
    let mut c1 = node.cache("c1").await;
    for page in 0..PAGES {
        let page = (0..1000).map(|at| held(&format!("flmping/s/{page}-{at}"), 1)).collect();
        assert_eq!(c1.report(page, Vec::new()).await, []);
    }
    assert_eq!(c1.report(vec![held("flmping/shared/o", 1)], Vec::new()).await, []);
    node.done(Command::Close { id: id.clone(), force: false }).await;
    assert_eq!(node.locate("flmping/s/0-7").await.unwrap().version, 1);
    node.done(Command::Delete { id }).await;
    assert_eq!(node.locate("flmping/s/2-999").await.unwrap_err().code(), Code::NotFound);

    let mut dropped = 0;
    while dropped < PAGES * 1000 {
        match c1.next().await {
            Down::Drop(drop) => dropped += drop.objects.len(),
            other => panic!("{other:?} is no order to drop"),
        }
    }
    eventually("only what sessions share is left", async || {
        let left = node.parts.gateway.with_state(|state| state.directory().entries().len()).await.unwrap();
        (left == 1).then_some(())
    })
    .await;
    node.parts.consensus.shutdown().await;
}
