//! `ObjectCacheService`, as flame-rs 0.7.0 calls it.

use flame_proto::v1::cache_get_response::Payload;
use flame_proto::v1::cache_write_request;
use flame_proto::v1::{
    CacheDeleteRequest, CacheGetMetadataRequest, CacheGetRequest, CacheListRequest, CacheObjectMetadata,
    CacheWriteRequest,
};
use futures::{TryStreamExt, stream};
use tonic::{Code, Status};

use crate::support::{Cache, refused, write};

/// The version and type of the header, and the parts.
async fn get(cache: &Cache, key: &str, version: u64) -> Result<(u64, String, Vec<Vec<u8>>), Status> {
    let request = CacheGetRequest { key: key.to_owned(), version };
    let answers: Vec<_> = cache.published().get(request).await?.into_inner().try_collect().await?;
    let mut answers = answers.into_iter().map(|answer| answer.payload.unwrap());
    let Some(Payload::Header(header)) = answers.next() else { panic!("the header comes first") };
    let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
    for answer in answers {
        let Payload::Chunk(chunk) = answer else { panic!("there is one header") };
        match parts.last_mut() {
            Some((number, data)) if *number == chunk.version => data.extend_from_slice(&chunk.data),
            _ => parts.push((chunk.version, chunk.data.to_vec())),
        }
    }
    let numbers: Vec<_> = parts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (version + 1..=header.version).collect::<Vec<_>>());
    Ok((header.version, header.data_type, parts.into_iter().map(|(_, data)| data).collect()))
}

async fn put(cache: &Cache, key: &str, chunks: &[&[u8]]) -> Result<CacheObjectMetadata, Status> {
    Ok(cache.published().put(write(key, chunks)).await?.into_inner())
}

async fn patch(cache: &Cache, key: &str, chunks: &[&[u8]]) -> Result<CacheObjectMetadata, Status> {
    Ok(cache.published().patch(write(key, chunks)).await?.into_inner())
}

#[tokio::test]
async fn an_object_is_made_once_and_gets_parts() {
    let cache = Cache::start().await;
    let made = put(&cache, "app/session", &[b"hel", b"lo"]).await.unwrap();
    assert_eq!((made.endpoint.as_str(), made.version, made.size), (cache.endpoint(), 1, 5));
    assert!(made.creation_time > 1_600_000_000_000);
    let key = made.key;
    assert!(key.starts_with("app/session/"));
    assert_eq!(patch(&cache, &key, &[]).await.unwrap().version, 2);
    assert_eq!(patch(&cache, &key, &[b"more"]).await.unwrap().version, 3);
    let parts = vec![b"hello".to_vec(), Vec::new(), b"more".to_vec()];
    assert_eq!(get(&cache, &key, 0).await.unwrap(), (3, "raw".to_owned(), parts.clone()));
    assert_eq!(get(&cache, &key, 2).await.unwrap().2, parts[2..]);
    assert_eq!(get(&cache, &key, 3).await.unwrap().2, parts[3..]);
    refused(get(&cache, &key, 4).await, Code::InvalidArgument, "version 4 is invalid");
    refused(put(&cache, &key, &[b"x"]).await, Code::AlreadyExists, "exists already");
}

#[tokio::test]
async fn an_empty_object_has_one_empty_part() {
    let cache = Cache::start().await;
    put(&cache, "a/s/empty", &[]).await.unwrap();
    assert_eq!(get(&cache, "a/s/empty", 0).await.unwrap().2, [Vec::<u8>::new()]);
}

#[tokio::test]
async fn metadata_lists_and_deletions() {
    let cache = Cache::start().await;
    for key in ["a/s/2", "a/s/1", "a/t/1"] {
        put(&cache, key, &[b"xyz"]).await.unwrap();
    }
    let metadata = |key: &str| CacheGetMetadataRequest { key: key.to_owned() };
    let one = cache.published().get_metadata(metadata("a/s/1")).await.unwrap().into_inner();
    assert_eq!((one.version, one.size, one.data_type.as_str()), (1, 3, "raw"));
    refused(cache.published().get_metadata(metadata("a/s/3")).await, Code::NotFound, "a/s/3 not found");
    let list = async || -> Vec<String> {
        let listed = cache.published().list(CacheListRequest {}).await.unwrap().into_inner();
        listed.map_ok(|metadata| metadata.key).try_collect().await.unwrap()
    };
    assert_eq!(list().await, ["a/s/1", "a/s/2", "a/t/1"]);
    for target in ["a/s", "a/s", "nobody/*"] {
        cache.published().delete(CacheDeleteRequest { key: target.to_owned() }).await.unwrap();
    }
    assert_eq!(list().await, ["a/t/1"]);
    refused(get(&cache, "a/s/1", 0).await, Code::NotFound, "not found");
}

#[tokio::test]
async fn a_write_begins_with_one_header() {
    let cache = Cache::start().await;
    let data = CacheWriteRequest { payload: Some(cache_write_request::Payload::Data("x".into())) };
    refused(cache.published().put(stream::iter([data])).await, Code::InvalidArgument, "header");
    refused(cache.published().put(stream::iter([])).await, Code::InvalidArgument, "header");
    let header = CacheWriteRequest {
        payload: Some(cache_write_request::Payload::Header(flame_proto::v1::CacheWriteHeader {
            key: "a/s/o".to_owned(),
            data_type: "raw".to_owned(),
        })),
    };
    refused(cache.published().put(stream::iter([header.clone(), header])).await, Code::InvalidArgument, "header");
    refused(get(&cache, "a/s/o", 0).await, Code::NotFound, "not found");
    refused(patch(&cache, "a/s/o", &[b"x"]).await, Code::NotFound, "not found");
    refused(put(&cache, "no key", &[b"x"]).await, Code::InvalidArgument, "application/session/object");
}
