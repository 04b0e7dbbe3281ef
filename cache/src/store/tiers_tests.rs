//! Memory over disk: what leaves the one is in the other, and comes back as it was.

use bytes::Bytes;
use flame_metrics::Registrar;

use super::*;
use crate::model::Blob;

const OBJECT_BYTES: usize = 1000;

fn store(folder: Option<PathBuf>, objects_in_memory: u64, eviction: Eviction) -> Store {
    let memory = objects_in_memory * OBJECT_BYTES as u64 + 500;
    let bounds = Bounds { memory, disk: 1 << 20, resident: 1000, quota: None };
    Store::open(&StoreOptions { folder, bounds, eviction }, StoreMetrics::register(&Registrar::off())).unwrap()
}

fn key(at: usize) -> ObjectKey {
    ObjectKey::parse(&format!("a/s/{at:03}")).unwrap()
}

fn object(at: usize, version: u64) -> Arc<Object> {
    let data = Blob::from(Bytes::from(vec![at as u8; OBJECT_BYTES]));
    Arc::new(Object {
        key: key(at),
        data_type: Arc::from("raw"),
        created_ms: 0,
        base_version: version,
        content: Content::Opaque(vec![Arc::new(Part { version, data })]),
    })
}

async fn put(store: &Store, object: Arc<Object>) -> Result<(), Refusal> {
    let room = store.reserve(object.size()).await?;
    let lock = store.lock(&object.key).await;
    let before = store.known(&object.key).and_then(|entry| entry.file);
    store.publish(&lock, object, before, Origin::Here, room).await;
    Ok(())
}

async fn got(store: &Store, at: usize) -> Option<Arc<Object>> {
    store.get(&key(at)).await.unwrap().and_then(Result::ok)
}

#[tokio::test]
async fn what_leaves_memory_is_on_disk_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Some(folder.path().to_owned()), 3, Eviction::LeastRecentlyUsed);
    for at in 0..10 {
        put(&store, object(at, 1)).await.unwrap();
        assert!(store.held().memory <= store.index.bounds().memory);
    }
    assert_eq!(store.held().resident, 3);
    for at in 0..10 {
        assert_eq!(got(&store, at).await.unwrap(), object(at, 1), "{at}");
        assert!(store.held().memory <= store.index.bounds().memory);
    }
    assert_eq!(store.held().reserved, 0);
}

#[tokio::test]
async fn a_patched_object_is_written_behind_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = |objects| store(Some(folder.path().to_owned()), objects, Eviction::LeastRecentlyUsed);
    let store = options(2);
    put(&store, object(0, 1)).await.unwrap();
    put(&store, object(1, 1)).await.unwrap();
    put(&store, object(2, 1)).await.unwrap();
    assert!(store.known(&key(0)).unwrap().is_on_disk());
    let patched = Arc::new(got(&store, 0).await.unwrap().patched(Blob::from(Bytes::from_static(b"more"))).unwrap());
    put(&store, patched.clone()).await.unwrap();
    assert!(!store.known(&key(0)).unwrap().is_on_disk());
    for at in 1..3 {
        got(&store, at).await.unwrap();
    }
    assert!(store.known(&key(0)).unwrap().is_on_disk());
    assert_eq!(got(&store, 0).await.unwrap(), patched);
    drop(store);
    let store = options(2);
    assert_eq!(got(&store, 0).await.unwrap(), patched, "a start finds it");
}

#[tokio::test]
async fn without_a_disk_the_coldest_is_forgotten_and_its_version_is_not() {
    let store = store(None, 2, Eviction::LeastRecentlyUsed);
    let (lost, losses) = std::sync::mpsc::channel();
    store.tell_losses(move |key, version| lost.send((key.clone(), version)).unwrap());
    for at in 0..3 {
        put(&store, object(at, 7)).await.unwrap();
    }
    assert_eq!(losses.try_iter().collect::<Vec<_>>(), [(key(0), 7)]);
    let gone = store.get(&key(0)).await.unwrap().unwrap().unwrap_err();
    assert_eq!(gone.info.version, 7);
    assert!(got(&store, 1).await.is_some() && got(&store, 2).await.is_some());
    assert_eq!(store.list(None, "", 10).0.len(), 2);
}

#[tokio::test]
async fn where_nothing_leaves_what_finds_no_room_is_refused() {
    let store = store(None, 2, Eviction::Never);
    put(&store, object(0, 1)).await.unwrap();
    put(&store, object(1, 1)).await.unwrap();
    let refused = put(&store, object(2, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("cache.eviction.max_memory"), "{refused}");
    let held = store.versions(&ObjectTarget::parse("a/s").unwrap()).await;
    assert_eq!(held, [(key(0), 1), (key(1), 1)]);
    for (key, version) in held {
        assert!(!store.drop_version(&key, version - 1).await.unwrap(), "of a later version");
        assert!(store.drop_version(&key, version).await.unwrap());
    }
    put(&store, object(2, 1)).await.unwrap();
    assert_eq!(store.held().reserved, 0);
}

#[tokio::test]
async fn a_damaged_object_counts_as_missing_and_can_be_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Some(folder.path().to_owned()), 1, Eviction::LeastRecentlyUsed);
    put(&store, object(0, 1)).await.unwrap();
    put(&store, object(1, 1)).await.unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("objects")).unwrap() {
        files.extend(std::fs::read_dir(entry.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let mut bytes = std::fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
    assert!(store.get(&key(0)).await.unwrap().is_none());
    put(&store, object(0, 2)).await.unwrap();
    assert_eq!(got(&store, 0).await.unwrap(), object(0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_keep_to_the_limit_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(Some(folder.path().to_owned()), 4, Eviction::LeastRecentlyUsed);
    let mut tasks = tokio::task::JoinSet::new();
    for from in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for at in (from * 10)..(from * 10 + 10) {
                put(&store, object(at, 1)).await.unwrap();
                assert_eq!(got(&store, at).await.unwrap(), object(at, 1));
                got(&store, (at + 35) % 80).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for at in 0..80 {
        assert_eq!(got(&store, at).await.unwrap(), object(at, 1), "{at}");
    }
    let held = store.held();
    assert!(held.memory <= store.index.bounds().memory && held.reserved == 0, "{held:?}");
}
