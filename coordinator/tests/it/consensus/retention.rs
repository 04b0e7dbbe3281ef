//! What leaves by retention is off every disk, and stays off it.

use flame_coordinator::consensus::{BatchHeader, Consensus, ProposeError, encode_entry};
use flame_machine::command::{Command, Inputs, Item, Submit, Trim};
use flame_machine::row::{Row, RowKey, Table};
use flame_storage::{Space, codec};
use flame_types::{
    AppName, AppSpec, ClientId, ClusterMs, Generation, LogIndex, Payload, Position, Retention, Seq, SessionId,
    SessionKey, SessionSpec, TaskNo, TaskOptions,
};

use super::harness::{Cluster, eventually};

const SESSION: SessionKey = SessionKey(1);

async fn propose(cluster: &Cluster, command: Command) -> LogIndex {
    let item = Item { client: ClientId::NONE, seq: Seq(1), below: Seq(0), command };
    let entry = encode_entry(&BatchHeader::default(), &[codec::encode(&item)]);
    eventually("an entry is applied", async || {
        let node = &cluster.nodes[&cluster.leader().await];
        match node.consensus.propose(node.leadership().term, entry.clone()).await {
            Ok(proposal) => proposal.settled().await.ok(),
            Err(ProposeError::NotLeader { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

fn id() -> SessionId {
    SessionId::parse("s").unwrap()
}

fn submit(tasks: usize) -> Command {
    let inputs = Inputs::Each(vec![Some(Payload::from("input")); tasks]);
    Command::Submit(Box::new(Submit { session: id(), inputs, options: TaskOptions::default(), idempotency_key: None }))
}

/// The rows of the session in one table, on one node's disk.
fn rows(consensus: &Consensus, table: Table) -> Vec<(RowKey, Row)> {
    let (from, to) = RowKey::session_range(table, SESSION);
    let found = consensus.rows().scan(Space::Bulk, &from.0, &to.0, 100).unwrap();
    found.into_iter().map(|(key, value)| (RowKey(key.to_vec()), codec::decode(value).unwrap())).collect()
}

/// First tasks of the submits, finished tasks, and entries of what was done.
fn on_disk(consensus: &Consensus) -> (Vec<u64>, Vec<u64>, usize) {
    let numbers = |table| rows(consensus, table).iter().map(|(key, _)| key.number_at(1).unwrap()).collect();
    (numbers(Table::Inputs), numbers(Table::Finished), rows(consensus, Table::Done).len())
}

fn kept_bytes(consensus: &Consensus, table: Table, tasks: std::ops::RangeInclusive<u64>) -> u64 {
    let here = rows(consensus, table).into_iter().filter(|(key, _)| tasks.contains(&key.number_at(1).unwrap()));
    here.map(|(_, row)| match row {
        Row::Inputs(row) => row.kept_bytes(),
        Row::Finished(row) => row.kept_bytes(),
        other => panic!("{other:?}"),
    })
    .sum()
}

#[tokio::test]
async fn what_has_left_is_off_every_disk_after_a_restart_too() {
    let mut cluster = Cluster::new(3).running().await;
    let app = AppName::parse("app").unwrap();
    propose(&cluster, Command::Register { name: app.clone(), spec: Box::new(AppSpec::default()) }).await;
    let mut spec = SessionSpec::new(app);
    spec.retention = Retention::default();
    spec.retention.tasks.age_ms_min = Some(0);
    propose(&cluster, Command::Create { id: id(), spec: Box::new(spec) }).await;
    for tasks in [2, 1] {
        propose(&cluster, submit(tasks)).await;
    }
    let mut ended = LogIndex(0);
    for task in 1..=2 {
        ended = propose(&cluster, Command::Cancel { session: id(), task: TaskNo(task) }).await;
    }
    let last = propose(&cluster, Command::Cancel { session: id(), task: TaskNo(3) }).await;
    cluster.agree_at(last).await;
    for node in cluster.nodes.values() {
        assert_eq!(on_disk(&node.consensus), (vec![1, 3], vec![1, 2, 3], 3));
    }

    let disk = &cluster.nodes[&1].consensus;
    let bytes = kept_bytes(disk, Table::Inputs, 1..=1) + kept_bytes(disk, Table::Finished, 1..=2);
    let trim = Trim {
        session: SESSION,
        from: Position::START,
        to: Position { generation: Generation(0), index: ended },
        tasks: vec![(TaskNo(1), TaskNo(2))],
        submits: vec![(TaskNo(1), TaskNo(2))],
        bytes,
        newest: ClusterMs(0),
        oldest_left: ClusterMs(0),
    };
    let trimmed = propose(&cluster, Command::Trim(Box::new(trim))).await;
    let digest = cluster.agree_at(trimmed).await;
    let left = (vec![3], vec![3], 1);
    for node in cluster.nodes.values() {
        assert_eq!(on_disk(&node.consensus), left);
    }

    for id in [1, 2, 3] {
        cluster.nodes[&id].consensus.shutdown().await;
        cluster.kill(id);
        cluster.start(id).await;
        cluster.leader().await;
        assert_eq!(on_disk(&cluster.nodes[&id].consensus), left, "node {id}");
    }
    assert_eq!(cluster.agree_at(trimmed).await, digest);
}
