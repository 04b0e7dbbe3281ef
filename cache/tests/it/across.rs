//! One object model under all protocols: what is written by one is read by the others.

use flame_proto::ha;
use flame_proto::v1::CacheGetRequest;
use flame_proto::v1::cache_get_response::Payload;
use futures::TryStreamExt;

use crate::support::{Cache, get, patch, put, write};

#[tokio::test]
async fn what_one_protocol_writes_the_others_read() {
    let cache = Cache::start().await;
    let mut flight = cache.flight();
    put(&mut flight, "a/s/o", b"replaced").await.unwrap();
    put(&mut flight, "a/s/o", b"base").await.unwrap();
    let patched = cache.published().patch(write("a/s/o", &[b"from the other"])).await.unwrap().into_inner();
    assert_eq!(patched.version, 2, "it counts parts");
    assert_eq!(patch(&mut flight, "a/s/o", b"last").await.unwrap().version, 4);
    let rows = get(&mut flight, "a/s/o", 0).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|(version, _, data)| (*version, std::str::from_utf8(data).unwrap())).collect();
    assert_eq!(rows, [(2, "base"), (3, "from the other"), (4, "last")]);

    let request = CacheGetRequest { key: "a/s/o".to_owned(), version: 0 };
    let answers: Vec<_> = cache.published().get(request).await.unwrap().into_inner().try_collect().await.unwrap();
    let parts: Vec<_> = answers
        .into_iter()
        .filter_map(|answer| match answer.payload.unwrap() {
            Payload::Header(header) => {
                assert_eq!((header.version, header.data_type.as_str()), (3, "raw"));
                None
            }
            Payload::Chunk(chunk) => Some((chunk.version, chunk.data.to_vec())),
        })
        .collect();
    assert_eq!(parts, [(1, b"base".to_vec()), (2, b"from the other".to_vec()), (3, b"last".to_vec())]);

    let metadata = ha::ObjectMetadataRequest { key: "a/s/o".to_owned(), local_only: false };
    let info = cache.own().metadata(metadata).await.unwrap().into_inner();
    assert_eq!((info.version, info.base_version, info.parts), (4, 2, 3));
}

#[tokio::test]
async fn an_object_of_the_other_protocol_is_read_by_flight() {
    let cache = Cache::start().await;
    let made = cache.published().put(write("a/s", &[b"json", b" bytes"])).await.unwrap().into_inner();
    let rows = get(&mut cache.flight(), &made.key, 0).await.unwrap();
    assert_eq!(rows, [(1, "base".to_owned(), b"json bytes".to_vec())]);
}
