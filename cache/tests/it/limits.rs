//! What is too much is refused when it is, with the name of the limit; and nothing is left of it.

use std::time::Duration;

use arrow_flight::FlightDescriptor;
use flame_cache::limits::PATCHES_MAX;
use flame_proto::v1::CacheWriteRequest;
use flame_proto::v1::cache_write_request::Payload;
use futures::{StreamExt, stream};
use tonic::Code;

use crate::support::{Cache, OBJECT_MAX, delete, get, patch, put, put_all, refused, write};

#[tokio::test]
async fn an_object_over_its_limit_is_refused_while_it_comes_in() {
    let cache = Cache::start().await;
    let chunk = vec![7; 1 << 20];
    // A stream without an end: only a refusal while it runs can end this call.
    let endless = stream::repeat_with(move || CacheWriteRequest { payload: Some(Payload::Data(chunk.clone().into())) });
    let mut client = cache.published();
    let call = client.put(write("a/s/endless", &[]).chain(endless));
    let outcome = tokio::time::timeout(Duration::from_secs(60), call).await.expect("it is refused");
    refused(outcome, Code::ResourceExhausted, "cache.object_max");
    refused(get(&mut cache.flight(), "a/s/endless", 0).await, Code::NotFound, "not found");

    let large = vec![7; OBJECT_MAX as usize / 2];
    let path = FlightDescriptor::new_path(vec!["a/s/rows".to_owned()]);
    let rows = [&large[..], &large[..], b"x"];
    refused(put_all(&mut cache.flight(), path, &rows).await, Code::ResourceExhausted, "cache.object_max");
    let one_message = vec![7; OBJECT_MAX as usize * 2];
    refused(put(&mut cache.flight(), "a/s/one", &one_message).await, Code::ResourceExhausted, "cache.object_max");
}

#[tokio::test]
async fn patches_count_for_the_limit_and_have_one_of_their_own() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    let half = vec![7; OBJECT_MAX as usize / 2];
    put(&mut client, "a/s/o", &half).await.unwrap();
    patch(&mut client, "a/s/o", &half).await.unwrap();
    refused(patch(&mut client, "a/s/o", b"x").await, Code::ResourceExhausted, "cache.object_max");
    put(&mut client, "a/s/many", b"").await.unwrap();
    for _ in 0..PATCHES_MAX {
        patch(&mut client, "a/s/many", b"").await.unwrap();
    }
    refused(patch(&mut client, "a/s/many", b"").await, Code::InvalidArgument, "1000 patches");
    assert_eq!(get(&mut client, "a/s/many", 0).await.unwrap().len(), PATCHES_MAX + 1);
}

#[tokio::test]
async fn quotas_are_of_one_application() {
    let cache = Cache::with(|options| options.store.bounds.quota = Some(1000)).await;
    let mut client = cache.flight();
    put(&mut client, "a/s/1", &[7; 600]).await.unwrap();
    refused(put(&mut client, "a/t/2", &[7; 600]).await, Code::ResourceExhausted, "cache.quota");
    put(&mut client, "b/s/2", &[7; 600]).await.unwrap();
    refused(patch(&mut client, "a/s/1", &[7; 401]).await, Code::ResourceExhausted, "cache.quota");
    put(&mut client, "a/s/1", &[7; 1000]).await.unwrap();
    delete(&mut client, "a/*").await.unwrap();
    put(&mut client, "a/t/2", &[7; 600]).await.unwrap();
}

#[tokio::test]
async fn more_than_fits_into_memory_is_on_disk_and_comes_back() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    // Sixty megabytes through sixteen.
    let object = |at: u8| vec![at; 2 << 20];
    for at in 0..30 {
        put(&mut client, &format!("a/s/{at}"), &object(at)).await.unwrap();
    }
    for at in 0..30 {
        let rows = get(&mut client, &format!("a/s/{at}"), 0).await.unwrap();
        assert!(rows.len() == 1 && rows[0].2 == object(at), "{at}");
    }
}

#[tokio::test]
async fn where_there_is_no_disk_the_coldest_is_forgotten_and_its_version_goes_on() {
    let cache = Cache::with(|options| options.store.folder = None).await;
    let mut client = cache.flight();
    let large = vec![7; OBJECT_MAX as usize];
    put(&mut client, "a/s/first", b"one").await.unwrap();
    assert_eq!(put(&mut client, "a/s/first", &large).await.unwrap().version, 2);
    for at in 0..5 {
        put(&mut client, &format!("a/s/{at}"), &large).await.unwrap();
    }
    refused(get(&mut client, "a/s/first", 0).await, Code::NotFound, "cache.storage");
    refused(patch(&mut client, "a/s/first", b"x").await, Code::NotFound, "a/s/first");
    assert_eq!(put(&mut client, "a/s/first", b"again").await.unwrap().version, 3);
}

#[tokio::test]
async fn a_full_disk_refuses_and_keeps_what_it_has() {
    let cache = Cache::with(|options| options.store.bounds.disk = 1000).await;
    let mut client = cache.flight();
    put(&mut client, "a/shared/1", &[7; 500]).await.unwrap();
    refused(put(&mut client, "a/shared/2", &[7; 600]).await, Code::ResourceExhausted, "cache.disk_max");
    refused(patch(&mut client, "a/shared/1", &[7; 600]).await, Code::ResourceExhausted, "cache.disk_max");
    assert_eq!(get(&mut client, "a/shared/1", 0).await.unwrap().len(), 1);
    patch(&mut client, "a/shared/1", b"x").await.unwrap();
    delete(&mut client, "a/shared/1").await.unwrap();
    put(&mut client, "a/shared/2", &[7; 600]).await.unwrap();
}
