//! Several caches under one directory: reads and writes find their object wherever it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flame_cache::Refusal;
use flame_cache::directory::{CacheNode, Directory, Located, NotRecorded, Recorded};
use flame_cache::model::Info;
use flame_proto::ha;
use flame_proto::ha::put_object_frame::Frame;
use flame_types::{ObjectKey, ObjectTarget};
use futures::stream;
use tonic::{Code, Status};

use crate::support::{Cache, delete, get, patch, put, refused};

/// What all of them know: the version of each object, and who has it.
#[derive(Default)]
struct Known {
    nodes: Vec<CacheNode>,
    objects: BTreeMap<ObjectKey, (u64, Vec<CacheNode>)>,
    is_away: bool,
}

/// The directory of one of them.
struct Shared {
    here: CacheNode,
    known: Arc<Mutex<Known>>,
}

#[tonic::async_trait]
impl Directory for Shared {
    fn here(&self) -> &CacheNode {
        &self.here
    }

    async fn locate(&self, key: &ObjectKey) -> Result<Located, Refusal> {
        let known = self.known.lock().unwrap();
        if known.is_away {
            return Err(Refusal::Unavailable("nobody leads".to_owned()));
        }
        let (version, places) = known.objects.get(key).cloned().unwrap_or_default();
        let lost = (version > 0 && places.is_empty()).then(|| "it was on a node that is gone".to_owned());
        Ok(Located { version, places, lost, knows_all: true })
    }

    async fn record(&self, info: &Info) -> Result<Recorded, NotRecorded> {
        let mut known = self.known.lock().unwrap();
        if known.is_away {
            return Err(NotRecorded::Refused(Refusal::Unavailable("nobody leads".to_owned())));
        }
        if known.objects.get(&info.key).is_some_and(|(version, _)| *version >= info.version) {
            return Err(NotRecorded::Superseded);
        }
        known.objects.insert(info.key.clone(), (info.version, vec![self.here.clone()]));
        Ok(Recorded { generation: 0, until_shown: None })
    }

    fn record_soon(&self, info: &Info) {
        let mut known = self.known.lock().unwrap();
        known.objects.insert(info.key.clone(), (info.version, vec![self.here.clone()]));
    }

    async fn delete(&self, target: &ObjectTarget) -> Result<(), Refusal> {
        self.known.lock().unwrap().objects.retain(|key, _| !target.has(key));
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<CacheNode>, Refusal> {
        Ok(self.known.lock().unwrap().nodes.clone())
    }
}

/// Two caches, and what both know.
async fn two() -> (Cache, Cache, Arc<Mutex<Known>>) {
    let known = Arc::new(Mutex::new(Known::default()));
    let directory = |here: CacheNode| -> Arc<dyn Directory> {
        known.lock().unwrap().nodes.push(here.clone());
        Arc::new(Shared { here, known: known.clone() })
    };
    let one = Cache::within(|options| options.name = "one".to_owned(), directory).await;
    let other = Cache::within(|options| options.name = "other".to_owned(), directory).await;
    (one, other, known)
}

#[tokio::test]
async fn any_of_them_reads_and_writes_what_one_has() {
    let (one, other, _) = two().await;
    put(&mut one.flight(), "a/s/o", b"base").await.unwrap();
    assert_eq!(get(&mut other.flight(), "a/s/o", 0).await.unwrap()[0].2, b"base");
    assert_eq!(patch(&mut other.flight(), "a/s/o", b"more").await.unwrap().version, 2);
    assert_eq!(get(&mut one.flight(), "a/s/o", 1).await.unwrap()[0].2, b"more");
    assert_eq!(put(&mut other.flight(), "a/s/o", b"new").await.unwrap().version, 3);
    let rows = get(&mut one.flight(), "a/s/o", 0).await.unwrap();
    assert_eq!(rows, [(3, "base".to_owned(), b"new".to_vec())]);
    assert_eq!(get(&mut other.flight(), "a/s/o", 0).await.unwrap(), rows);
    let large = vec![7; 3 << 20];
    put(&mut other.flight(), "a/s/o", &large).await.unwrap();
    assert_eq!(get(&mut other.flight(), "a/s/o", 0).await.unwrap()[0].2, large);
}

#[tokio::test]
async fn what_the_writer_refuses_is_refused_with_its_words() {
    let (one, other, _) = two().await;
    put(&mut one.flight(), "a/s/o", b"base").await.unwrap();
    let written = async |cache: &Cache, if_exists: ha::IfExists, expected_version, local_only| -> Result<u64, Status> {
        let header = ha::PutObjectHeader {
            key: "a/s/o".to_owned(),
            if_exists: if_exists.into(),
            expected_version,
            local_only,
            ..ha::PutObjectHeader::default()
        };
        let frames = [ha::PutObjectFrame { frame: Some(Frame::Header(header)) }];
        Ok(cache.own().put(stream::iter(frames)).await?.into_inner().version)
    };
    refused(written(&other, ha::IfExists::Expect, 7, false).await, Code::Aborted, "has version 1, not 7");
    refused(written(&other, ha::IfExists::Refuse, 0, false).await, Code::AlreadyExists, "exists already");
    assert_eq!(written(&other, ha::IfExists::Expect, 1, false).await.unwrap(), 2);
    refused(written(&other, ha::IfExists::Replace, 0, true).await, Code::Unavailable, "was passed on to other");
}

#[tokio::test]
async fn versions_go_on_from_what_others_have_written_and_lost() {
    let (one, other, known) = two().await;
    let key = ObjectKey::parse("a/shared/o").unwrap();
    put(&mut one.flight(), "a/shared/o", b"base").await.unwrap();
    // Somebody else has written two more, and is gone with them.
    known.lock().unwrap().objects.insert(key.clone(), (3, Vec::new()));
    refused(get(&mut other.flight(), "a/shared/o", 0).await, Code::NotFound, "on a node that is gone");
    refused(patch(&mut other.flight(), "a/shared/o", b"x").await, Code::NotFound, "on a node that is gone");
    assert_eq!(put(&mut other.flight(), "a/shared/o", b"new").await.unwrap().version, 4);
    // The first one believes to be the writer still, and is told.
    refused(put(&mut one.flight(), "a/shared/o", b"late").await, Code::Unavailable, "by way of another cache");
    assert_eq!(get(&mut one.flight(), "a/shared/o", 0).await.unwrap()[0].2, b"new");
    assert_eq!(put(&mut one.flight(), "a/shared/o", b"next").await.unwrap().version, 5);
}

#[tokio::test]
async fn deletions_and_losses_are_known_to_all() {
    let (one, other, known) = two().await;
    put(&mut one.flight(), "a/shared/o", b"base").await.unwrap();
    put(&mut one.flight(), "a/shared/lost", b"base").await.unwrap();
    delete(&mut other.flight(), "a/shared/o").await.unwrap();
    refused(get(&mut other.flight(), "a/shared/o", 0).await, Code::NotFound, "a/shared/o not found");
    known.lock().unwrap().objects.get_mut("a/shared/lost").unwrap().1.clear();
    refused(get(&mut other.flight(), "a/shared/lost", 0).await, Code::NotFound, "on a node that is gone");
    known
        .lock()
        .unwrap()
        .objects
        .get_mut("a/shared/lost")
        .unwrap()
        .1
        .push(CacheNode { name: "third".to_owned(), endpoint: "grpc://127.0.0.1:1".to_owned() });
    refused(get(&mut other.flight(), "a/shared/lost", 0).await, Code::Unavailable, "third");
    let nodes = other.own().nodes(ha::ObjectNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.len(), 2);
}

#[tokio::test]
async fn without_the_directory_nothing_durable_is_acknowledged_and_nothing_of_it_is_left() {
    let (one, other, known) = two().await;
    put(&mut one.flight(), "a/shared/o", b"base").await.unwrap();
    known.lock().unwrap().is_away = true;
    refused(put(&mut one.flight(), "a/shared/o", b"new").await, Code::Unavailable, "nobody leads");
    refused(patch(&mut one.flight(), "a/shared/o", b"more").await, Code::Unavailable, "nobody leads");
    refused(get(&mut other.flight(), "a/shared/o", 0).await, Code::Unavailable, "nobody leads");
    // Its writer knows what it has, and session objects under names of their own need nobody.
    assert_eq!(get(&mut one.flight(), "a/shared/o", 0).await.unwrap().len(), 1);
    put(&mut other.flight(), "a/s", b"x").await.unwrap();
    known.lock().unwrap().is_away = false;
    assert_eq!(patch(&mut one.flight(), "a/shared/o", b"more").await.unwrap().version, 2);
    let rows = get(&mut other.flight(), "a/shared/o", 0).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>(), [b"base".to_vec(), b"more".to_vec()]);
}
