//! Clients of the published protocols: they know one cache, and find what others have.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::FlightDescriptor;
use arrow_schema::{DataType, Field, Schema};
use flame_proto::v1::cache_get_response::Payload;
use flame_proto::v1::object_cache_service_client::ObjectCacheServiceClient;
use flame_proto::v1::{CacheDeleteRequest, CacheGetMetadataRequest, CacheGetRequest};
use futures::TryStreamExt;
use tonic::Code;

use super::scene::Scene;
use crate::support::{do_get, do_put, encode, flight, get, patch, put, write};

#[tokio::test(flavor = "multi_thread")]
async fn published_clients_read_and_write_what_another_cache_has() -> Result<()> {
    let scene = Scene::start(2).await?;
    let mut here = flight(scene.caches[0].connect()?);
    let mut there = flight(scene.caches[1].connect()?);
    let mut service = ObjectCacheServiceClient::new(scene.caches[1].connect()?);
    for key in ["a/s/o", "a/shared/o"] {
        ensure!(put(&mut here, key, b"base").await?.version == 1);
        // What is not shared is recorded a moment after the answer.
        scene.known(key).await?;
        scene.client(1)?.get(key).await?;
        ensure!(patch(&mut there, key, b"more").await?.version == 2);
        let patched = service.patch(write(key, &[b"and", b" more"])).await?.into_inner();
        ensure!(patched.version == 3, "it counts parts");
        let expected = [(2, "patch".to_owned(), b"more".to_vec()), (3, "patch".to_owned(), b"and more".to_vec())];
        ensure!(get(&mut here, key, 1).await? == expected && get(&mut there, key, 1).await? == expected);
        let request = CacheGetRequest { key: key.to_owned(), version: 2 };
        let answers: Vec<_> = service.get(request).await?.into_inner().try_collect().await?;
        let parts = answers.into_iter().filter_map(|answer| match answer.payload {
            Some(Payload::Chunk(chunk)) => Some((chunk.version, chunk.data.to_vec())),
            _ => None,
        });
        ensure!(parts.collect::<Vec<_>>() == [(3, b"and more".to_vec())]);
        let metadata = service.get_metadata(CacheGetMetadataRequest { key: key.to_owned() }).await?.into_inner();
        ensure!((metadata.version, metadata.size) == (3, 16), "{metadata:?}");
        let exists = service.put(write(key, &[b"again"])).await.unwrap_err();
        ensure!(exists.code() == Code::AlreadyExists, "{exists:?}");
        ensure!(put(&mut there, key, b"new").await?.version == 4);
        ensure!(get(&mut here, key, 0).await?[0].2 == b"new");
        service.delete(CacheDeleteRequest { key: key.to_owned() }).await?;
        scene.here(0, key, false).await?;
        let gone = get(&mut here, key, 0).await.unwrap_err();
        ensure!(gone.code() == Code::NotFound, "{gone:?}");
    }
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_the_same_by_way_of_any_cache() -> Result<()> {
    let scene = Scene::start(2).await?;
    let metadata = [("flame.cache.format", "arrow-table-v1"), ("flame.cache.version", "0")];
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let schema = Arc::new(Schema::new_with_metadata(vec![Field::new("n", DataType::Int64, false)], metadata));
    let table = |numbers: Vec<i64>| {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers));
        RecordBatch::try_new(schema.clone(), vec![column])
    };
    let mut here = flight(scene.caches[0].connect()?);
    let mut there = flight(scene.caches[1].connect()?);
    for (client, numbers) in [(&mut here, vec![1, 2, 3]), (&mut there, vec![4, 5])] {
        let path = FlightDescriptor::new_path(vec!["a/s/table".to_owned()]);
        do_put(client, encode(path, schema.clone(), vec![table(numbers)?]).await).await?;
        scene.known("a/s/table").await?;
    }
    for client in [&mut here, &mut there] {
        let found = do_get(client, "a/s/table", 0).await?;
        ensure!(found.len() == 1 && found[0].columns() == table(vec![4, 5])?.columns(), "{found:?}");
    }
    scene.held_by("a/s/table", &["c1"]).await?;
    scene.end().await
}
