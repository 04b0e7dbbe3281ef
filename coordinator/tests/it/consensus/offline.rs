//! New clusters from a backup, and from what one node has left.

use std::path::Path;

use flame_coordinator::consensus::StartError;
use flame_coordinator::consensus::offline::{Restore, Survivor, inspect, restore};
use flame_storage::{Cause, Error as StorageError};
use flame_types::{CoordinatorId, Generation};

use super::harness::{Cluster, Node, eventually};

/// As the commands do it: on a thread that may block.
async fn offline<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

async fn opened(dir: &Path) -> Result<Survivor, StartError> {
    let dir = dir.to_path_buf();
    offline(move || Survivor::open(&dir)).await
}

async fn stop(cluster: &mut Cluster, id: u64) {
    cluster.nodes[&id].consensus.shutdown().await;
    cluster.kill(id);
}

async fn generation(node: &Node) -> Generation {
    node.consensus.with_state(|state| state.cluster().generation).await.expect("runs")
}

/// One that was stopped a moment ago may still hold its directory.
async fn survivor(dir: &Path) -> Survivor {
    eventually("the directory is free", async || match opened(dir).await {
        Ok(survivor) => Some(survivor),
        Err(StartError::Storage(StorageError::AlreadyOpen(_))) => None,
        Err(error) => panic!("{error}"),
    })
    .await
}

async fn write_backup(node: &Node, file: &Path) -> u128 {
    let mut source = node.consensus.take_backup(true).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = source.next_piece().unwrap() {
        bytes.extend_from_slice(&piece);
    }
    std::fs::write(file, bytes).unwrap();
    source.header().digest
}

#[tokio::test]
async fn a_survivor_goes_on_alone_and_those_who_come_back_are_refused() {
    let mut cluster = Cluster::new(3).running().await;
    let index = cluster.register("before").await;
    cluster.agree_at(index).await;
    let left = cluster.follower().await;
    assert!(matches!(opened(&cluster.data_dir(left)).await, Err(StartError::Storage(StorageError::AlreadyOpen(_)))));
    let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
    for id in &ids {
        stop(&mut cluster, *id).await;
    }
    let survivor = survivor(&cluster.data_dir(left)).await;
    let survey = survivor.survey().clone();
    assert_eq!((survey.id.0, survey.voters.len(), survey.others().len()), (left, 3, 2));
    assert!(survey.last.index >= index.0, "{survey:?}");
    let done = offline(|| survivor.recover()).await.unwrap();
    assert_eq!(done.last.index, survey.last.index + 2);
    assert!(done.last.leader_id.term > survey.last.leader_id.term);

    cluster.start(left).await;
    assert_eq!(cluster.leader().await, left);
    let applied = cluster.register("after").await;
    cluster.agree_at(applied).await;
    assert_eq!(generation(&cluster.nodes[&left]).await, Generation(1));
    assert_eq!(cluster.nodes[&left].consensus.members().len(), 1);

    // They are a majority among themselves, and hear of it all the same.
    for id in ids.iter().filter(|id| **id != left) {
        cluster.start(*id).await;
    }
    for id in ids.iter().filter(|id| **id != left) {
        let cause = cluster.nodes[id].consensus.fatal().raised().await;
        assert!(matches!(cause, Cause::Removed(_)), "{cause:?}");
        stop(&mut cluster, *id).await;
    }
    let new = cluster.grow().await;
    assert!(new > 3, "numbers are given out once");
    let applied = cluster.register("with-another").await;
    cluster.agree_at(applied).await;
}

#[tokio::test]
async fn a_recovery_that_was_cut_short_is_given_again() {
    let mut cluster = Cluster::new(1).running().await;
    cluster.register("before").await;
    stop(&mut cluster, 1).await;
    let first = survivor(&cluster.data_dir(1)).await;
    // As if the process had ended after the first step.
    std::fs::write(cluster.data_dir(1).join("UNFINISHED"), "recovery\n").unwrap();
    drop(first);
    let options = cluster.options(1);
    eventually("it is not served from", async || {
        let started = flame_coordinator::consensus::Consensus::start(options.clone(), super::harness::sink()).await;
        matches!(started, Err(StartError::Storage(StorageError::Unfinished { .. }))).then_some(())
    })
    .await;
    let found = survivor(&cluster.data_dir(1)).await;
    offline(|| found.recover()).await.unwrap();
    cluster.start(1).await;
    assert_eq!(cluster.leader().await, 1);
    cluster.register("after").await;
}

#[tokio::test]
async fn a_backup_becomes_another_cluster_with_the_same_state() {
    let mut cluster = Cluster::new(3).cutting_after(20).running().await;
    let mut last = flame_types::LogIndex(0);
    for number in 0..40 {
        last = cluster.register(&format!("app-{number}")).await;
    }
    // Who asks through the API gets a read point first; this test asks the follower itself.
    cluster.agree_at(last).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, from) = (folder.path().join("backup"), cluster.follower().await);
    let digest = write_backup(&cluster.nodes[&from], &file).await;
    cluster.register("later").await;
    assert_eq!(inspect(&file, folder.path()).unwrap().digest, digest);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "what was unpacked is gone");

    let id = cluster.room();
    let wanted = Restore {
        backup: file.clone(),
        data_dir: folder.path().join("restored"),
        cluster_id: "another".to_owned(),
        id: CoordinatorId(id),
        node: cluster.node(id),
    };
    let same_name = restore(&Restore { cluster_id: super::harness::CLUSTER_ID.to_owned(), ..wanted.clone() });
    assert!(matches!(same_name, Err(StartError::Options(_))));
    assert!(!wanted.data_dir.exists(), "nothing was begun");
    let again = wanted.clone();
    let done = offline(move || restore(&again)).await.unwrap();
    assert_eq!(done.header.digest, digest);
    assert!(matches!(restore(&wanted), Err(StartError::Storage(StorageError::HoldsData(_)))));

    let mut options = cluster.options(1);
    options.id = wanted.id;
    options.cluster_id = wanted.cluster_id.clone();
    options.data_dir = wanted.data_dir.clone();
    options.members = vec![(wanted.id, wanted.node.clone())];
    cluster.start_with(id, options).await;
    let restored = &cluster.nodes[&id];
    eventually("it leads", async || restored.leadership().is_self.then_some(())).await;
    eventually("it has applied its log", async || {
        (restored.consensus.status().applied.0 >= done.last.index).then_some(())
    })
    .await;
    let apps = restored.consensus.with_state(|state| state.apps().len()).await.unwrap();
    assert_eq!(apps, 40);
    assert_eq!(generation(restored).await, Generation(1));
    let members = restored.consensus.members();
    assert_eq!(members.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [wanted.id]);
}
