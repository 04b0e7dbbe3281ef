//! Watches outlive the node they began on.

use std::time::Duration;

use flame_proto::v1::TaskState;
use flame_sdk::types::TaskNo;
use flame_sdk::{FlameError, Options};
use futures::{StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::fake::{Fake, Script, connect, connect_for, connect_with, nobody};

#[tokio::test]
async fn many_tasks_share_one_stream_and_end() {
    let fake = Fake::start(Script::default()).await;
    let (watcher, mut updates) = connect(&[fake.address]).watch_tasks("s");
    for number in 1..=3 {
        watcher.add(TaskNo(number)).await.unwrap();
    }
    for _ in 0..3 {
        assert!(!updates.try_next().await.unwrap().unwrap().is_terminal(), "a snapshot each");
    }
    fake.update(2, TaskState::Succeed);
    let task = updates.try_next().await.unwrap().unwrap();
    assert_eq!((task.number().unwrap(), task.is_terminal()), (TaskNo(2), true));
    // A task that has ended is not told again.
    fake.update(2, TaskState::Failed);
    fake.update(1, TaskState::Succeed);
    fake.update(3, TaskState::Failed);
    drop(watcher);
    let rest: Vec<_> = updates.map_ok(|task| task.number().unwrap().0).try_collect().await.unwrap();
    assert_eq!(rest, [1, 3], "the watch ends when all tasks have ended");
    assert_eq!(fake.script(|script| script.calls), 1, "one stream");
}

#[tokio::test]
async fn a_watch_goes_on_at_another_node_with_what_is_left() {
    let first = Fake::start(Script::default()).await;
    let second = Fake::start(Script::default()).await;
    let (watcher, mut updates) = connect(&[first.address, second.address]).watch_tasks("s");
    for number in 1..=3 {
        watcher.add(TaskNo(number)).await.unwrap();
        updates.try_next().await.unwrap().unwrap();
    }
    first.update(1, TaskState::Succeed);
    assert!(updates.try_next().await.unwrap().unwrap().is_terminal());
    first.go_away();
    for _ in 0..2 {
        assert!(!updates.try_next().await.unwrap().unwrap().is_terminal(), "snapshots of the new node");
    }
    assert_eq!(second.script(|script| script.watched.clone()), ["2", "3"]);
    second.update(2, TaskState::Succeed);
    second.update(3, TaskState::Succeed);
    drop(watcher);
    let rest: Vec<_> = updates.map_ok(|task| task.number().unwrap().0).try_collect().await.unwrap();
    assert_eq!(rest, [2, 3]);
}

/// Patience is for one stretch without an answer, not for all of them together, however many tasks there are by then.
#[tokio::test]
async fn a_watch_that_breaks_now_and_then_goes_on_beyond_its_patience() {
    const PATIENCE: Duration = Duration::from_millis(1500);
    let fake = Fake::start(Script::default()).await;
    let options = Options { patience: PATIENCE, ..Options::default() };
    let (watcher, mut updates) = connect_with(&[fake.address], options).watch_tasks("s");
    let begun = Instant::now();
    for number in 1.. {
        watcher.add(TaskNo(number)).await.unwrap();
        while updates.try_next().await.unwrap().unwrap().number().unwrap() != TaskNo(number) {}
        if begun.elapsed() > 2 * PATIENCE {
            break;
        }
        fake.break_watches();
    }
}

#[tokio::test]
async fn a_watch_outlives_a_cluster_without_a_leader_for_longer_than_a_call_does() {
    const DEADLINE: Duration = Duration::from_millis(50);
    let fake = Fake::start(Script::default()).await;
    let (watcher, mut updates) = connect_for(&[fake.address], DEADLINE).watch_tasks("s");
    watcher.add(TaskNo(1)).await.unwrap();
    assert!(!updates.try_next().await.unwrap().unwrap().is_terminal());
    fake.go_away();
    let news = timeout(4 * DEADLINE, updates.try_next()).await;
    assert!(news.is_err(), "there are no news, and no end: {news:?}");
    fake.script(|script| script.away = false);
    assert!(!updates.try_next().await.unwrap().unwrap().is_terminal(), "the snapshot");
    fake.update(1, TaskState::Succeed);
    assert!(updates.try_next().await.unwrap().unwrap().is_terminal());
}

#[tokio::test]
async fn a_watch_that_nobody_has_served_ends_like_a_call() {
    let (watcher, mut updates) = connect_for(&[nobody().await], Duration::from_millis(50)).watch_tasks("s");
    watcher.add(TaskNo(1)).await.unwrap();
    assert!(matches!(updates.try_next().await, Err(FlameError::Unavailable(_))));
}

#[tokio::test]
async fn a_watch_that_was_served_ends_when_its_patience_does() {
    let fake = Fake::start(Script::default()).await;
    let options = Options { patience: Duration::from_millis(50), ..Options::default() };
    let (watcher, mut updates) = connect_with(&[fake.address], options).watch_tasks("s");
    watcher.add(TaskNo(1)).await.unwrap();
    updates.try_next().await.unwrap().unwrap();
    fake.go_away();
    assert!(matches!(updates.try_next().await, Err(FlameError::Unavailable(_))));
}

#[tokio::test]
async fn a_refusal_ends_the_watch_with_its_reason() {
    let fake =
        Fake::start(Script { refusals: vec![Status::not_found("session s not found")], ..Script::default() }).await;
    let (watcher, mut updates) = connect(&[fake.address]).watch_tasks("s");
    watcher.add(TaskNo(1)).await.unwrap();
    let error = updates.try_next().await.unwrap_err();
    assert_eq!(error.to_string(), "session s not found");
    assert!(updates.next().await.is_none());
}
