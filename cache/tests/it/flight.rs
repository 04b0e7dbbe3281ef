//! Arrow Flight over opaque bytes, as flamepy 0.6.0 calls it.

use arrow_flight::{Action, Criteria, Empty, FlightDescriptor};
use futures::TryStreamExt;
use tonic::Code;

use crate::support::{self, Cache, delete, get, patch, put, put_all, refused};

fn row(version: u64, kind: &str, data: &str) -> support::Row {
    (version, kind.to_owned(), data.as_bytes().to_vec())
}

#[tokio::test]
async fn an_object_is_put_under_a_name_of_its_own_and_read() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    let reference = put(&mut client, "app/session", b"hello").await.unwrap();
    assert_eq!((reference.endpoint.as_str(), reference.version), (cache.endpoint(), 1));
    assert!(reference.key.starts_with("app/session/"), "{reference:?}");
    assert_eq!(get(&mut client, &reference.key, 0).await.unwrap(), [row(1, "base", "hello")]);
    let other = put(&mut client, "app/session", b"hello").await.unwrap();
    assert_ne!(other.key, reference.key);
}

#[tokio::test]
async fn an_update_replaces_the_base_and_drops_the_patches() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    assert_eq!(put(&mut client, "a/s/o", b"one").await.unwrap().version, 1);
    assert_eq!(patch(&mut client, "a/s/o", b"more").await.unwrap().version, 2);
    assert_eq!(put(&mut client, "a/s/o", b"two").await.unwrap().version, 3);
    for known in 0..3 {
        assert_eq!(get(&mut client, "a/s/o", known).await.unwrap(), [row(3, "base", "two")], "{known}");
    }
    assert_eq!(get(&mut client, "a/s/o", 3).await.unwrap(), []);
}

#[tokio::test]
async fn a_reader_gets_what_is_new_to_it() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    put(&mut client, "a/s/o", b"base").await.unwrap();
    patch(&mut client, "a/s/o", b"one").await.unwrap();
    patch(&mut client, "a/s/o", b"").await.unwrap();
    let all = [row(1, "base", "base"), row(2, "patch", "one"), row(3, "patch", "")];
    assert_eq!(get(&mut client, "a/s/o", 0).await.unwrap(), all);
    assert_eq!(get(&mut client, "a/s/o", 1).await.unwrap(), all[1..]);
    assert_eq!(get(&mut client, "a/s/o", 2).await.unwrap(), all[2..]);
    assert_eq!(get(&mut client, "a/s/o", 3).await.unwrap(), []);
    assert_eq!(get(&mut client, "a/s/o", 99).await.unwrap(), all, "from the future: everything");
}

#[tokio::test]
async fn rows_of_an_upload_are_one_payload_and_none_are_an_empty_one() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    let path = |path: &str| FlightDescriptor::new_path(vec![path.to_owned()]);
    let reference = put_all(&mut client, path("a/pkg/p.tar.gz"), &[b"ab", b"", b"cd"]).await.unwrap();
    assert_eq!(reference.key, "a/pkg/p.tar.gz");
    assert_eq!(get(&mut client, "a/pkg/p.tar.gz", 0).await.unwrap(), [row(1, "base", "abcd")]);
    put_all(&mut client, path("a/pkg/empty"), &[]).await.unwrap();
    assert_eq!(get(&mut client, "a/pkg/empty", 0).await.unwrap(), [row(1, "base", "")]);
}

#[tokio::test]
async fn a_large_object_comes_back_as_it_was() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    let data: Vec<u8> = (0..3 << 20).map(|at: u32| (at / 7) as u8).collect();
    put(&mut client, "a/s/large", &data).await.unwrap();
    let rows = get(&mut client, "a/s/large", 0).await.unwrap();
    assert!(rows.len() == 1 && rows[0].2 == data);
}

#[tokio::test]
async fn deleting_takes_what_is_meant_and_succeeds_always() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    let keys = ["a/s/1", "a/s/2", "a/s-2/1", "a/t/1", "ab/s/1"];
    let left = async |client: &mut _| {
        let mut left = Vec::new();
        for key in keys {
            left.extend(get(client, key, 0).await.is_ok().then_some(key));
        }
        left
    };
    for key in keys {
        put(&mut client, key, b"x").await.unwrap();
    }
    delete(&mut client, "a/s/1").await.unwrap();
    delete(&mut client, "a/s/1").await.unwrap();
    assert_eq!(left(&mut client).await, keys[1..]);
    delete(&mut client, "a/s").await.unwrap();
    assert_eq!(left(&mut client).await, keys[2..]);
    delete(&mut client, "a/*").await.unwrap();
    assert_eq!(left(&mut client).await, keys[4..]);
    delete(&mut client, "nobody/*").await.unwrap();
    refused(get(&mut client, "a/s/1", 0).await, Code::NotFound, "a/s/1 not found");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    refused(patch(&mut client, "a/s/none", b"x").await, Code::NotFound, "a/s/none not found");
    for path in ["a", "a/", "a/s/o/more", "a/../o", "a/s\\x/o", "a/*"] {
        refused(put(&mut client, path, b"x").await, Code::InvalidArgument, "");
    }
    let command = FlightDescriptor::new_cmd("DROP:a/s/o");
    refused(put_all(&mut client, command, &[b"x"]).await, Code::InvalidArgument, "PATCH:");
    refused(get(&mut client, "a/s", 0).await, Code::InvalidArgument, "application/session/object");
    let action = Action { r#type: "EXPLODE".to_owned(), body: "a/s".into() };
    refused(client.do_action(action).await, Code::InvalidArgument, "DELETE");
    refused(client.handshake(futures::stream::empty()).await, Code::Unimplemented, "Handshake");
}

#[tokio::test]
async fn objects_are_described_and_listed() {
    let cache = Cache::start().await;
    let mut client = cache.flight();
    put(&mut client, "a/s/o", b"hello").await.unwrap();
    let path = |path: &str| FlightDescriptor::new_path(vec![path.to_owned()]);
    let info = client.get_flight_info(path("a/s/o")).await.unwrap().into_inner();
    assert_eq!(info.total_bytes, 5);
    assert_eq!(info.endpoint[0].location[0].uri, cache.endpoint());
    let names = |schema: arrow_schema::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    assert_eq!(names(info.try_decode_schema().unwrap()), ["version", "kind", "data"]);
    let nowhere = client.get_flight_info(path("a/s/none")).await.unwrap().into_inner();
    assert_eq!((nowhere.total_bytes, nowhere.endpoint[0].location[0].uri.as_str()), (-1, cache.endpoint()));
    let schema = client.get_schema(path("a/s/o")).await.unwrap().into_inner();
    assert_eq!(names(arrow_schema::Schema::try_from(&schema).unwrap()), ["version", "kind", "data"]);

    for at in 0..1500 {
        put(&mut client, &format!("b/s/{at:04}"), b"").await.unwrap();
    }
    let listed: Vec<_> =
        client.list_flights(Criteria::default()).await.unwrap().into_inner().try_collect().await.unwrap();
    let paths: Vec<_> = listed.iter().map(|info| info.flight_descriptor.as_ref().unwrap().path[0].clone()).collect();
    assert_eq!(paths.len(), 1501);
    assert!(paths.is_sorted());
    let actions: Vec<_> = client.list_actions(Empty {}).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(actions[0].r#type, "DELETE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_object_get_versions_of_their_own() {
    let cache = Cache::start().await;
    put(&mut cache.flight(), "a/s/o", b"0").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = cache.flight();
        tasks.spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..10 {
                versions.push(patch(&mut client, "a/s/o", b"x").await.unwrap().version);
            }
            versions
        });
    }
    let mut versions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        versions.extend(done.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=81).collect::<Vec<_>>());
    assert_eq!(get(&mut cache.flight(), "a/s/o", 0).await.unwrap().len(), 81);
}
