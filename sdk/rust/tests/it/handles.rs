//! The handle of a session: typed tasks, lists of them, and what becomes of them when things go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::{ha, v1};
use flame_sdk::types::TaskNo;
use flame_sdk::{Connection, FlameError, Session, SessionOptions, StreamExt, TaskOptions};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::fake::{Fake, Script, connect};
use crate::fake_sessions::{Peer, position, succeeded};

const CLIENT: u64 = 77;

/// A handle whose stream is open, and the node at its other end.
async fn open(connection: &Connection, fake: &mut Fake) -> (Session, Peer) {
    let session = connection.create_session_with(SessionOptions::new("a").id("s")).await.unwrap();
    let (stream, peer) = futures::join!(session.stream(), opened(fake));
    stream.unwrap();
    (session, peer)
}

async fn opened(fake: &mut Fake) -> Peer {
    let mut peer = fake.stream().await;
    peer.open(CLIENT).await;
    peer.watch().await;
    peer
}

async fn one_node() -> (Session, Peer, Fake) {
    let mut fake = Fake::start(Script::default()).await;
    let (session, peer) = open(&connect(&[fake.address]), &mut fake).await;
    (session, peer, fake)
}

/// A node that accepts and answers.
struct Node {
    peer: Peer,
    next_task: u64,
}

impl Node {
    fn new(peer: Peer) -> Self {
        Self { peer, next_task: 1 }
    }

    /// Accepts a frame; its tasks with their inputs.
    async fn accept(&mut self, frame: ha::SubmitTasks) -> Vec<(u64, Bytes)> {
        let first = self.next_task;
        self.next_task += frame.tasks.len() as u64;
        self.peer.accept(frame.seq, first, frame.tasks.len() as u64).await;
        (first..).zip(frame.tasks.into_iter().map(|task| task.input.unwrap_or_default())).collect()
    }

    /// Accepts so many tasks, in as many frames as it takes.
    async fn accept_tasks(&mut self, count: usize) -> Vec<(u64, Bytes)> {
        let mut tasks = Vec::new();
        while tasks.len() < count {
            let frame = self.peer.submit().await;
            tasks.extend(self.accept(frame).await);
        }
        assert_eq!(tasks.len(), count);
        tasks
    }

    async fn results(&self, results: Vec<ha::TaskResult>) {
        self.peer.results(10 + self.next_task, results).await;
    }

    async fn ended(&self, task: u64, state: v1::TaskState, message: &str) {
        let message = Some(message.to_owned());
        self.results(vec![ha::TaskResult { task, state: state.into(), output: None, message }]).await;
    }

    /// Answers every task with its input, the last of a frame first, until the client closes its half.
    async fn echo(&mut self) {
        while let Some(frame) = self.peer.next().await {
            match frame {
                Up::Submit(frame) => {
                    let tasks = self.accept(frame).await;
                    self.results(tasks.into_iter().rev().map(|(task, input)| succeeded(task, input)).collect()).await;
                }
                other => panic!("nothing but submits: {other:?}"),
            }
        }
    }

    fn echo_apart(mut self) -> JoinHandle<()> {
        tokio::spawn(async move { self.echo().await })
    }
}

#[tokio::test]
async fn an_invoked_task_gives_its_output_and_a_bad_end_is_an_error() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let mut fine = session.invoke::<_, u32>(&7_u32).await.unwrap();
    let bad = session.invoke::<_, u32>(()).await.unwrap();
    let ended_early = session.invoke::<_, Option<u32>>(8_u32).await.unwrap();
    let described = session.run::<_, u32>(9_u32).await.unwrap();
    let tasks = node.accept_tasks(4).await;
    assert_eq!(tasks[0], (1, Bytes::from_static(b"7")));
    assert_eq!(fine.accepted().await, Ok(TaskNo(1)));
    node.results(vec![succeeded(1, "14")]).await;
    node.ended(2, v1::TaskState::Failed, "no input").await;
    node.ended(3, v1::TaskState::Cancelled, "by its user").await;
    node.ended(4, v1::TaskState::Failed, "no luck").await;
    assert_eq!(fine.await, Ok(14));
    let error = bad.await.unwrap_err();
    assert!(matches!(&error, FlameError::TaskFailed(text) if text.ends_with("no input")), "{error}");
    let error = ended_early.await.unwrap_err();
    assert!(matches!(&error, FlameError::TaskCancelled(text) if text.contains("task 3 of session s")), "{error}");
    let result = described.await.unwrap();
    assert!(result.is_failed() && result.output.is_none() && result.task_id == TaskNo(4), "{result:?}");
    assert_eq!(result.error_message.as_deref(), Some("no luck"));
    assert_eq!(result.into_output().unwrap_err().class(), "task_failed");
}

#[tokio::test]
async fn a_wait_may_end_before_the_task_and_go_on_afterwards() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let mut task = session.invoke::<_, String>("x").await.unwrap();
    node.accept_tasks(1).await;
    let late = task.timeout(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(&late, FlameError::TimedOut(text) if text.contains("0.001 s")), "{late}");
    node.results(vec![succeeded(1, "\"y\"")]).await;
    assert_eq!(task.timeout(Duration::from_secs(30)).await.as_deref(), Ok("y"));
    assert_eq!(task.await.unwrap_err().class(), "internal", "it is told once");
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_number_and_tells_how_it_ended() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let mut task = session.run::<_, ()>("x").await.unwrap();
    node.accept_tasks(1).await;
    let cancelling = async {
        let Some(Up::Cancel(cancel)) = node.peer.next().await else { panic!("no cancel") };
        assert_eq!(cancel.task, 1);
        node.peer.accept(cancel.seq, 0, 0).await;
        let cancelled = vec![ha::TaskRange { first: 1, last: 1 }];
        node.peer
            .say(Down::Results(ha::Results { position: Some(position(12)), results: Vec::new(), cancelled }))
            .await;
    };
    let (cancelled, ()) = futures::join!(task.cancel(), cancelling);
    cancelled.unwrap();
    assert!(task.await.unwrap().is_cancelled());
}

#[tokio::test]
async fn options_travel_with_the_task() {
    let (session, mut peer, _fake) = one_node().await;
    let options = TaskOptions::new().priority(3).timeout(Duration::from_secs(2)).affinity("gpu");
    let _task = session.invoke_with_options::<_, ()>("x", &options).await.unwrap();
    let frame = peer.submit().await;
    let expected = ha::TaskOptions { affinity: vec!["gpu".into()], priority: 3, timeout_ms: 2_000 };
    assert_eq!(frame.options, Some(expected));
    let nothing = TaskOptions::new().timeout(Duration::ZERO);
    let refused = session.invoke_with_options::<_, ()>("x", &nothing).await.unwrap_err();
    assert_eq!(refused.class(), "invalid_argument");
}

#[tokio::test]
async fn results_of_a_list_come_as_they_end_also_to_whoever_asked_for_the_numbers_meanwhile() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let mut results = session.submit_many::<_, u64>(0..4_u64).await.unwrap();
    assert!(futures::poll!(results.next()).is_pending());
    let tasks = node.accept_tasks(4).await;
    let numbers = results.accepted().await.unwrap();
    assert_eq!(numbers, [TaskNo(1), TaskNo(2), TaskNo(3), TaskNo(4)]);
    for at in [2, 0] {
        let (task, input) = tasks[at].clone();
        node.results(vec![succeeded(task, input)]).await;
        assert_eq!(results.next().await, Some((at, Ok(at as u64))));
    }
    assert_eq!(results.len(), 2);
    node.results([3, 1].map(|at: usize| succeeded(tasks[at].0, tasks[at].1.clone())).to_vec()).await;
    let rest: Vec<_> = results.in_order().collect().await;
    assert_eq!(rest, [Ok(1), Ok(3)]);
}

#[tokio::test]
async fn a_list_is_cancelled_whatever_has_ended_of_it() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let mut results = session.submit_many::<_, u64>([1_u64, 2]).await.unwrap();
    node.accept_tasks(2).await;
    let cancelling = async {
        let mut left = 2;
        while left > 0 {
            let Some(Up::Cancel(cancel)) = node.peer.next().await else { panic!("no cancel") };
            match cancel.task {
                1 => node.peer.refuse(cancel.seq, &Status::failed_precondition("it has ended")).await,
                _ => node.peer.accept(cancel.seq, 0, 0).await,
            }
            left -= 1;
        }
        node.results(vec![succeeded(1, "1")]).await;
        node.ended(2, v1::TaskState::Cancelled, "").await;
    };
    let (cancelled, ()) = futures::join!(results.cancel(), cancelling);
    cancelled.unwrap();
    let ends: Vec<_> = results.in_order().map(|end| end.map_err(|error| error.class())).collect().await;
    assert_eq!(ends, [Ok(1), Err("task_cancelled")]);
}

/// More than a stream keeps for readers of its own kind of list.
#[tokio::test]
async fn results_that_nobody_reads_hold_up_nobody() {
    const LARGE: usize = 2 << 20;
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let unread = session.submit_many::<_, Bytes>((0..24).map(|_| Bytes::new())).await.unwrap();
    let tasks = node.accept_tasks(24).await;
    for (task, _) in tasks {
        node.results(vec![succeeded(task, vec![0; LARGE])]).await;
    }
    let echo = node.echo_apart();
    let text: String = session.invoke("quick").await.unwrap().await.unwrap();
    assert_eq!(text, "quick");
    let lengths: Vec<_> = unread.map(|(_, output)| output.unwrap().len()).collect().await;
    assert_eq!(lengths, [LARGE; 24]);
    echo.abort();
}

#[tokio::test]
async fn a_map_takes_inputs_as_its_results_are_read() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let inputs = (0..10_u64).inspect(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let mut results = session.map::<_, u64>(inputs).in_flight(3).as_completed();
    assert_eq!(taken.load(Ordering::Relaxed), 0, "nothing happens before somebody reads");
    assert!(futures::poll!(results.next()).is_pending());
    let tasks = node.accept_tasks(3).await;
    assert_eq!(taken.load(Ordering::Relaxed), 3);
    node.results(tasks.iter().rev().map(|(task, input)| succeeded(*task, input.clone())).collect()).await;
    let (at, output) = results.next().await.unwrap();
    assert_eq!(output, Ok(at as u64));
    assert!(taken.load(Ordering::Relaxed) <= 4, "one was read, so one more may begin");
    let echo = node.echo_apart();
    let mut places: Vec<usize> =
        results.map(|(at, output)| (output == Ok(at as u64)).then_some(at).unwrap()).collect().await;
    places.push(at);
    places.sort_unstable();
    assert_eq!(places, (0..10).collect::<Vec<_>>());
    echo.abort();
}

#[tokio::test]
async fn a_map_in_order_is_in_order_however_tasks_end() {
    let (session, peer, _fake) = one_node().await;
    let echo = Node::new(peer).echo_apart();
    let all: Vec<u64> = session.map(0..500_u64).in_flight(16).collect().await.unwrap();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
    echo.abort();
}

/// Some tasks have ended, some are accepted, one frame has no answer: each becomes one result.
#[tokio::test]
async fn a_map_goes_on_at_another_node() {
    const INPUTS: u64 = 200;
    let (mut first, mut second) = (Fake::start(Script::default()).await, Fake::start(Script::default()).await);
    let (session, peer) = open(&connect(&[first.address, second.address]), &mut first).await;
    let nodes = tokio::spawn(async move {
        let mut node = Node::new(peer);
        let mut open = Vec::new();
        while node.next_task < INPUTS / 4 {
            let frame = node.peer.submit().await;
            open.extend(node.accept(frame).await);
            // All but the last.
            let ended = open.drain(..open.len() - 1).map(|(task, input)| succeeded(task, input)).collect();
            node.results(ended).await;
        }
        let _unanswered = node.peer.submit().await;
        let Node { peer, next_task } = node;
        peer.end(Status::unavailable("this node is stopping")).await;

        let mut peer = second.stream().await;
        assert_eq!(peer.open(CLIENT).await.client, CLIENT);
        let mut node = Node { peer, next_task };
        loop {
            match node.peer.next().await {
                Some(Up::Submit(frame)) => open.extend(node.accept(frame).await),
                Some(Up::Watch(watch)) => {
                    assert!(!watch.tasks.is_empty(), "{watch:?}");
                    break;
                }
                other => panic!("neither submit nor watch: {other:?}"),
            }
        }
        node.results(open.into_iter().map(|(task, input)| succeeded(task, input)).collect()).await;
        node.echo().await;
    });
    let all: Vec<u64> = session.map(0..INPUTS).in_flight(8).collect().await.unwrap();
    assert_eq!(all, (0..INPUTS).collect::<Vec<_>>());
    nodes.abort();
}

#[tokio::test]
async fn what_does_not_fit_its_type_is_an_error_at_its_place_alone() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let unwritable = flame_sdk::codec::json(std::collections::BTreeMap::from([((1, 2), 3)]));
    let error = session.invoke::<_, ()>(unwritable.clone()).await.unwrap_err();
    assert!(error.class() == "codec" && error.to_string().contains("BTreeMap"), "{error}");
    let error = session.submit_many::<_, ()>([unwritable]).await.unwrap_err();
    assert_eq!(error.class(), "codec");

    let results = session.submit_many::<_, u8>([1_u8, 2, 3]).await.unwrap();
    node.accept_tasks(3).await;
    let nothing = ha::TaskResult { output: None, ..succeeded(3, "") };
    node.results(vec![succeeded(1, "1"), succeeded(2, "many"), nothing]).await;
    let ends: Vec<_> = results.in_order().collect().await;
    assert_eq!(ends[0], Ok(1));
    let text = ends[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("not a u8 in JSON"), "{text}");
    let text = ends[2].as_ref().unwrap_err().to_string();
    assert!(text.starts_with("missing task output"), "{text}");
}

#[tokio::test]
async fn a_stream_that_is_over_is_replaced_by_the_next_task() {
    let (session, peer, mut fake) = one_node().await;
    let task = session.invoke::<_, u8>(1_u8).await.unwrap();
    peer.end(Status::not_found("session s")).await;
    assert_eq!(task.await.unwrap_err().class(), "not_found");
    let again = async {
        let mut node = Node::new(opened(&mut fake).await);
        let tasks = node.accept_tasks(1).await;
        node.results(vec![succeeded(tasks[0].0, "2")]).await;
        node
    };
    let (answer, _node) = futures::join!(async { session.invoke::<_, u8>(2_u8).await.unwrap().await }, again);
    assert_eq!(answer, Ok(2));
}

#[tokio::test]
async fn a_closed_handle_takes_nothing_and_what_it_took_still_ends() {
    let (session, peer, _fake) = one_node().await;
    let mut node = Node::new(peer);
    let task = session.invoke::<_, u8>(1_u8).await.unwrap();
    let other = session.clone();
    let closing = tokio::spawn(async move { other.close().await });
    node.accept_tasks(1).await;
    // The fake node lacks the call, and that is what the caller hears.
    assert_eq!(closing.await.unwrap().unwrap_err().class(), "unimplemented");
    node.results(vec![succeeded(1, "9")]).await;
    assert_eq!(task.await, Ok(9));
    assert_eq!(session.invoke::<_, u8>(1_u8).await.unwrap_err().class(), "failed_precondition");
    assert_eq!(session.map::<_, u8>([1_u8]).collect().await.unwrap_err().class(), "failed_precondition");
    assert_eq!(session.cancel(TaskNo(1)).await.unwrap_err().class(), "failed_precondition");
}

#[tokio::test]
async fn a_task_with_a_key_is_one_task_however_often_it_is_submitted() {
    let fake = Fake::start(Script::default()).await;
    let session = connect(&[fake.address]).create_session_with("a").await.unwrap();
    fake.script(|script| script.lose_answers = 1);
    let key = *b"0123456789abcdef";
    let mut first = session.run_once::<_, ()>(key, 1_u8).await.unwrap();
    let again = session.run_once::<_, ()>(key, 1_u8).await.unwrap();
    assert_eq!(first.accepted().await, Ok(TaskNo(1)));
    let ended = async {
        // It is told to those who watch by then.
        while fake.script(|script| script.watched.len()) < 2 {
            tokio::task::yield_now().await;
        }
        fake.update(1, v1::TaskState::Succeed);
    };
    let (first, again, ()) = futures::join!(first, again, ended);
    assert!(first.as_ref().unwrap().is_succeed(), "{first:?}");
    assert_eq!(first, again);
    assert!(fake.script(|script| script.keys == [(key.to_vec(), 1)] && script.tasks == 1));
    let mut other = session.run_once::<_, ()>([9; 16], 1_u8).await.unwrap();
    assert_eq!(other.accepted().await, Ok(TaskNo(2)));
}

#[tokio::test]
async fn a_session_knows_what_it_was_given() {
    let fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address]);
    let options = SessionOptions::new("a").common_data(&"for all".to_owned()).unwrap();
    let session = connection.create_session_with(options).await.unwrap();
    assert_eq!(session.common_data::<String>().unwrap().as_deref(), Some("for all"));
    assert_eq!(session.common_data::<u8>().unwrap_err().class(), "codec");
    assert!(session.application() == "a" && session.id().starts_with("a-"), "{session:?}");
    let plain = connection.create_session_with("b").await.unwrap();
    assert_eq!(plain.common_data::<String>(), Ok(None));
    let twice = connection.open_or_create_session_with("x", SessionOptions::new("a").id("y")).await.unwrap_err();
    assert_eq!(twice.class(), "invalid_argument");
}
