//! Whose disk, and what it promised.

use std::fs;

use flame_storage::{DataDir, Error, Expected, PeerMemory, Vote};
use flame_types::{CoordinatorId, LogIndex};
use openraft::storage::RaftLogStorage;

use crate::directory::{append, crash_copy, expected, fast, open, open_log, scratch, small};

#[test]
fn a_directory_has_one_process_one_node_and_one_cluster() {
    let root = scratch();
    let data = open(root.path()).unwrap();
    assert!(matches!(open(root.path()), Err(Error::AlreadyOpen(_))));
    drop(data);
    let other_cluster = Expected { cluster_id: "other".into(), ..expected() };
    assert!(matches!(DataDir::open(root.path(), &other_cluster), Err(Error::WrongCluster { .. })));
    let other_node = Expected { node: CoordinatorId(2), ..expected() };
    assert!(matches!(DataDir::open(root.path(), &other_node), Err(Error::WrongNode { .. })));
    open(root.path()).unwrap();
}

#[test]
fn the_store_id_stays_and_the_incarnation_grows() {
    let root = scratch();
    let first = open(root.path()).unwrap();
    let store_id = first.identity().store_id();
    assert_eq!(first.identity().incarnation(), 1);
    drop(first);
    for incarnation in 2..5 {
        let again = open(root.path()).unwrap();
        assert_eq!(again.identity().store_id(), store_id);
        assert_eq!(again.identity().incarnation(), incarnation);
    }
    let elsewhere = scratch();
    assert_ne!(open(elsewhere.path()).unwrap().identity().store_id(), store_id);
}

#[test]
fn what_is_remembered_survives_a_crash() {
    let root = scratch();
    let data = open(root.path()).unwrap();
    let identity = data.identity();
    let memory = PeerMemory { store_id: identity.store_id(), incarnation: 3, matched: LogIndex(77), life: 5 };
    identity.set_members_token(42).unwrap();
    identity.set_bootstrapped().unwrap();
    identity.remember_peer(CoordinatorId(2), memory).unwrap();
    identity.remember_peer(CoordinatorId(3), memory).unwrap();
    identity.forget_peer(CoordinatorId(3)).unwrap();
    let copy = crash_copy(root.path());
    let again = open(copy.path()).unwrap();
    assert_eq!(again.identity().members_token(), Some(42));
    assert!(again.identity().is_bootstrapped());
    assert_eq!(again.identity().peer(CoordinatorId(2)), Some(memory));
    assert_eq!(again.identity().peer(CoordinatorId(3)), None);
}

#[test]
fn the_number_of_peers_is_bounded() {
    let root = scratch();
    let data = open(root.path()).unwrap();
    let memory = PeerMemory {
        store_id: data.identity().store_id(),
        incarnation: u64::MAX,
        matched: LogIndex(u64::MAX),
        life: u64::MAX,
    };
    for node in 0..64 {
        data.identity().remember_peer(CoordinatorId(u64::MAX - node), memory).unwrap();
    }
    assert!(matches!(data.identity().remember_peer(CoordinatorId(1), memory), Err(Error::Refused(_))));
}

#[test]
fn what_peers_acknowledge_is_noted_and_never_lowered() {
    let root = scratch();
    let data = open(root.path()).unwrap();
    let identity = data.identity();
    let memory = PeerMemory { store_id: identity.store_id(), incarnation: 1, matched: LogIndex(5), life: 9 };
    identity.remember_peer(CoordinatorId(2), memory).unwrap();
    let noted = [(CoordinatorId(2), LogIndex(8)), (CoordinatorId(7), LogIndex(8))];
    identity.note_matched(noted).unwrap();
    identity.note_matched([(CoordinatorId(2), LogIndex(6))]).unwrap();
    let copy = crash_copy(root.path());
    let again = open(copy.path()).unwrap();
    assert_eq!(again.identity().peer(CoordinatorId(2)), Some(PeerMemory { matched: LogIndex(8), ..memory }));
    assert_eq!(again.identity().peers(), [CoordinatorId(2)], "a stranger is not remembered by this");
}

#[test]
fn every_opening_is_a_life_of_its_own() {
    let root = scratch();
    let first = open(root.path()).unwrap();
    let copy = crash_copy(root.path());
    drop(first);
    let (one, other) = (open(root.path()).unwrap(), open(copy.path()).unwrap());
    assert_eq!(one.identity().incarnation(), other.identity().incarnation());
    assert_ne!(one.identity().life(), other.identity().life(), "copies of one disk are told apart");
}

#[tokio::test]
async fn a_lost_or_damaged_identity_beside_data_is_refused() {
    let root = scratch();
    drop(open_log(root.path(), fast()).unwrap());
    let identity = root.path().join("identity");
    let whole = fs::read(&identity).unwrap();
    fs::remove_file(&identity).unwrap();
    assert!(matches!(open(root.path()), Err(Error::DamagedIdentity { .. })));
    let flipped: Vec<u8> = whole.iter().map(|byte| byte ^ 0x10).collect();
    fs::write(&identity, flipped).unwrap();
    assert!(matches!(open(root.path()), Err(Error::DamagedIdentity { .. })));
    fs::write(&identity, whole).unwrap();
    open(root.path()).unwrap();
}

#[tokio::test]
async fn an_older_log_is_quarantined() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    append(&mut log, (0..5).map(|index| small(1, index)).collect()).await;
    let older = crash_copy(root.path());
    append(&mut log, vec![small(1, 5)]).await;
    let newer = crash_copy(root.path());
    open_log(newer.path(), fast()).unwrap();
    fs::copy(newer.path().join("identity"), older.path().join("identity")).unwrap();
    let refused = open_log(older.path(), fast()).unwrap_err();
    assert!(matches!(&refused, Error::Quarantine(why) if why.contains("entry 5")), "{refused}");
}

#[tokio::test]
async fn a_forgotten_vote_is_quarantined() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    let older = crash_copy(root.path());
    log.save_vote(&Vote::new(2, 3)).await.unwrap();
    let newer = crash_copy(root.path());
    assert_eq!(open_log(newer.path(), fast()).unwrap().vote(), Some(Vote::new(2, 3)));
    fs::copy(newer.path().join("identity"), older.path().join("identity")).unwrap();
    let refused = open_log(older.path(), fast()).unwrap_err();
    assert!(matches!(&refused, Error::Quarantine(why) if why.contains("vote")), "{refused}");
}

#[tokio::test]
async fn an_empty_log_directory_is_quarantined_once_something_was_promised() {
    let root = scratch();
    let mut log = open_log(root.path(), fast()).unwrap();
    append(&mut log, vec![small(1, 0)]).await;
    drop(log);
    fs::remove_dir_all(root.path().join("log")).unwrap();
    assert!(matches!(open_log(root.path(), fast()), Err(Error::Quarantine(_))));
}
