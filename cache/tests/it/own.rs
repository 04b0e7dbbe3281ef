//! Our own protocol: versions as they are, and writing on condition of one.

use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::ha::put_object_frame;
use futures::{TryStreamExt, stream};
use tonic::{Code, Status};

use crate::support::{Cache, refused};

fn frames(header: ha::PutObjectHeader, data: &[u8]) -> impl futures::Stream<Item = ha::PutObjectFrame> + use<> {
    let data = put_object_frame::Frame::Data(bytes::Bytes::copy_from_slice(data));
    let frames = [put_object_frame::Frame::Header(header), data];
    stream::iter(frames.map(|frame| ha::PutObjectFrame { frame: Some(frame) }))
}

fn header(key: &str, if_exists: ha::IfExists, expected_version: u64) -> ha::PutObjectHeader {
    let (key, data_type) = (key.to_owned(), "json".to_owned());
    ha::PutObjectHeader {
        key,
        data_type,
        native: false,
        if_exists: if_exists.into(),
        expected_version,
        local_only: false,
    }
}

async fn put(cache: &Cache, key: &str, if_exists: ha::IfExists, expected: u64, data: &str) -> Result<u64, Status> {
    let frames = frames(header(key, if_exists, expected), data.as_bytes());
    Ok(cache.own().put(frames).await?.into_inner().version)
}

async fn patch(cache: &Cache, key: &str, expected: u64, data: &str) -> Result<u64, Status> {
    let frames = frames(header(key, ha::IfExists::Unspecified, expected), data.as_bytes());
    Ok(cache.own().patch(frames).await?.into_inner().version)
}

async fn fetch(cache: &Cache, key: &str, version: u64) -> Result<(ha::ObjectHeader, Vec<(u64, String)>), Status> {
    let request = ha::FetchObjectRequest { key: key.to_owned(), version, local_only: false };
    let frames: Vec<_> = cache.own().fetch(request).await?.into_inner().try_collect().await?;
    let mut frames = frames.into_iter().map(|frame| frame.frame.unwrap());
    let Some(Frame::Header(header)) = frames.next() else { panic!("the header comes first") };
    let pieces = frames.map(|frame| match frame {
        Frame::Piece(piece) => (piece.number, String::from_utf8(piece.data.to_vec()).unwrap()),
        Frame::Header(_) => panic!("there is one header"),
    });
    Ok((header, pieces.collect()))
}

#[tokio::test]
async fn versions_are_as_they_are() {
    let cache = Cache::start().await;
    assert_eq!(put(&cache, "a/s/o", ha::IfExists::Unspecified, 0, "one").await.unwrap(), 1);
    assert_eq!(put(&cache, "a/s/o", ha::IfExists::Replace, 0, "two").await.unwrap(), 2);
    assert_eq!(patch(&cache, "a/s/o", 0, "more").await.unwrap(), 3);
    let (header, pieces) = fetch(&cache, "a/s/o", 0).await.unwrap();
    assert_eq!(header.extent(), ha::Extent::Full);
    let info = header.info.unwrap();
    assert_eq!((info.version, info.base_version, info.parts, info.size), (3, 2, 2, 7));
    assert_eq!((info.data_type.as_str(), info.native), ("json", false));
    assert_eq!(pieces, [(2, "two".to_owned()), (3, "more".to_owned())]);
    let (header, pieces) = fetch(&cache, "a/s/o", 2).await.unwrap();
    assert_eq!((header.extent(), pieces.len()), (ha::Extent::Patches, 1));
    let (header, pieces) = fetch(&cache, "a/s/o", 3).await.unwrap();
    assert_eq!((header.extent(), pieces.len()), (ha::Extent::NotModified, 0));
}

#[tokio::test]
async fn writing_on_condition_changes_nothing_that_somebody_else_has_changed() {
    let cache = Cache::start().await;
    refused(put(&cache, "a/s/o", ha::IfExists::Expect, 1, "x").await, Code::Aborted, "has version 0, not 1");
    assert_eq!(put(&cache, "a/s/o", ha::IfExists::Expect, 0, "x").await.unwrap(), 1);
    refused(put(&cache, "a/s/o", ha::IfExists::Expect, 0, "x").await, Code::Aborted, "has version 1, not 0");
    refused(put(&cache, "a/s/o", ha::IfExists::Refuse, 0, "x").await, Code::AlreadyExists, "exists already");
    assert_eq!(put(&cache, "a/s/o", ha::IfExists::Expect, 1, "y").await.unwrap(), 2);
    refused(patch(&cache, "a/s/o", 1, "x").await, Code::Aborted, "has version 2, not 1");
    assert_eq!(patch(&cache, "a/s/o", 2, "z").await.unwrap(), 3);
    assert_eq!(fetch(&cache, "a/s/o", 0).await.unwrap().1.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_expect_the_same_version_one_writes() {
    let cache = Cache::start().await;
    put(&cache, "a/s/o", ha::IfExists::Refuse, 0, "0").await.unwrap();
    for version in 1..=20 {
        let (one, other) = tokio::join!(
            put(&cache, "a/s/o", ha::IfExists::Expect, version, "one"),
            put(&cache, "a/s/o", ha::IfExists::Expect, version, "other"),
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{version}: {one:?} {other:?}");
    }
}

#[tokio::test]
async fn listing_goes_in_pages_and_deleting_says_how_many() {
    let cache = Cache::start().await;
    for at in 0..7 {
        put(&cache, &format!("a/s/{at}"), ha::IfExists::Refuse, 0, "x").await.unwrap();
    }
    put(&cache, "b/s/0", ha::IfExists::Refuse, 0, "x").await.unwrap();
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let request = ha::ListObjectsRequest { target: "a/*".to_owned(), after, limit: 3 };
        let page = cache.own().list(request).await.unwrap().into_inner();
        assert!(page.objects.len() <= 3);
        seen.extend(page.objects.into_iter().map(|info| info.key));
        if !page.more {
            break;
        }
        after = seen.last().unwrap().clone();
    }
    assert_eq!(seen, (0..7).map(|at| format!("a/s/{at}")).collect::<Vec<_>>());
    let metadata = ha::ObjectMetadataRequest { key: "a/s/3".to_owned(), local_only: false };
    assert_eq!(cache.own().metadata(metadata.clone()).await.unwrap().into_inner().size, 1);
    let target = "a/s".to_owned();
    let deleted = cache.own().delete(ha::DeleteObjectsRequest { target: target.clone() }).await.unwrap();
    assert_eq!(deleted.into_inner().deleted, 7);
    assert_eq!(cache.own().delete(ha::DeleteObjectsRequest { target }).await.unwrap().into_inner().deleted, 0);
    refused(cache.own().metadata(metadata).await, Code::NotFound, "a/s/3 not found");
    let nodes = cache.own().nodes(ha::ObjectNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.iter().map(|node| node.endpoint.as_str()).collect::<Vec<_>>(), [cache.endpoint()]);
}
