//! Watches outlive the node they began on.

use std::time::Duration;

use flame_proto::v1::TaskState;
use flame_sdk::types::TaskNo;
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use tonic::Status;

use crate::fake::{Fake, Script, connect, connect_for};

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

/// The deadline is for one stretch without an answer, not for all of them together, however many tasks there are by then.
#[tokio::test]
async fn a_watch_that_breaks_now_and_then_goes_on_beyond_its_deadline() {
    const DEADLINE: Duration = Duration::from_millis(1500);
    let fake = Fake::start(Script::default()).await;
    let (watcher, mut updates) = connect_for(&[fake.address], DEADLINE).watch_tasks("s");
    let begun = Instant::now();
    for number in 1.. {
        watcher.add(TaskNo(number)).await.unwrap();
        while updates.try_next().await.unwrap().unwrap().number().unwrap() != TaskNo(number) {}
        if begun.elapsed() > 2 * DEADLINE {
            break;
        }
        fake.break_watches();
    }
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
