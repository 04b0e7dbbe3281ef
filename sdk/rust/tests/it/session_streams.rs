//! Streams of sessions: what travels together, what is sent again, and what everybody is told at the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::{ha, v1};
use flame_sdk::types::{TaskNo, TaskOptions, TaskState};
use flame_sdk::{Connection, Endpoints, FlameError, Options, SessionStream, SubmittedTask};
use futures::StreamExt;
use tokio::time::Instant;
use tonic::Status;

use crate::fake::{Fake, Script, connect};
use crate::fake_sessions::{Peer, position, succeeded};

const CLIENT: u64 = 77;

/// An open stream, and the node at its other end.
async fn open(connection: &Connection, fake: &mut Fake) -> (SessionStream, Peer) {
    let serve = async {
        let mut peer = fake.stream().await;
        let open = peer.open(CLIENT).await;
        assert_eq!((open.session_id.as_str(), open.client), ("s", 0));
        let watch = peer.watch().await;
        assert_eq!((watch.from, watch.own, watch.tasks.len()), (Some(position(10)), true, 0));
        peer
    };
    let (stream, peer) = futures::join!(connection.open_stream("s"), serve);
    (stream.unwrap(), peer)
}

async fn one_node() -> (SessionStream, Peer, Fake) {
    let mut fake = Fake::start(Script::default()).await;
    let (stream, peer) = open(&connect(&[fake.address]), &mut fake).await;
    (stream, peer, fake)
}

async fn two_nodes() -> (SessionStream, Peer, Fake) {
    let (mut first, second) = (Fake::start(Script::default()).await, Fake::start(Script::default()).await);
    let (stream, peer) = open(&connect(&[first.address, second.address]), &mut first).await;
    (stream, peer, second)
}

async fn submit(stream: &SessionStream, input: &'static str) -> SubmittedTask {
    stream.submit(Some(Bytes::from_static(input.as_bytes()))).await.unwrap()
}

fn inputs(frame: &ha::SubmitTasks) -> Vec<&[u8]> {
    frame.tasks.iter().map(|task| task.input.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_task_is_accepted_and_then_ends() {
    let (stream, mut peer, _fake) = one_node().await;
    let mut task = submit(&stream, "in").await;
    let frame = peer.submit().await;
    assert_eq!((frame.seq, frame.below, frame.count, inputs(&frame)), (1, 1, 0, vec![&b"in"[..]]));
    peer.accept(1, 5, 1).await;
    assert_eq!(task.accepted().await, Ok(TaskNo(5)));
    peer.results(11, vec![succeeded(5, "out")]).await;
    let end = task.await.unwrap();
    assert!(end.succeeded() && end.task == TaskNo(5) && end.output.as_deref() == Some(b"out"), "{end:?}");
}

/// Three nodes that name the second as the leader, and a client of all of them.
async fn three_nodes() -> (Connection, [Fake; 3]) {
    let mut fakes = Vec::new();
    for _ in 0..3 {
        fakes.push(Fake::start(Script::default()).await);
    }
    let leader = fakes[1].address;
    fakes.iter().for_each(|fake| fake.script(|script| script.leader = Some(leader)));
    let fakes: [Fake; 3] = fakes.try_into().ok().expect("three");
    (connect(&[fakes[0].address, leader, fakes[2].address]), fakes)
}

#[tokio::test]
async fn a_stream_goes_to_the_leader() {
    let (connection, mut fakes) = three_nodes().await;
    open(&connection, &mut fakes[1]).await;
    // It is not asked for again.
    fakes[1].script(|script| script.leader = None);
    open(&connection, &mut fakes[1]).await;
}

#[tokio::test]
async fn when_a_coordinator_was_left_the_leader_is_looked_for_again() {
    let (connection, mut fakes) = three_nodes().await;
    let (stream, peer) = open(&connection, &mut fakes[1]).await;
    let first = fakes[0].address;
    fakes.iter().for_each(|fake| fake.script(|script| script.leader = Some(first)));
    let mut task = submit(&stream, "a").await;
    peer.end(Status::unavailable("this node stops")).await;
    // An open stream goes on at the next node …
    let mut next = fakes[2].stream().await;
    next.open(CLIENT).await;
    next.submit().await;
    next.accept(1, 3, 1).await;
    assert_eq!(task.accepted().await, Ok(TaskNo(3)));
    // … the next one at the leader.
    open(&connection, &mut fakes[0]).await;
}

#[tokio::test]
async fn a_stream_stays_where_it_is_when_the_leader_is_unknown_or_elsewhere() {
    for leader in [None, Some(crate::fake::nobody().await)] {
        let (connection, mut fakes) = three_nodes().await;
        fakes[0].script(|script| script.leader = leader);
        open(&connection, &mut fakes[0]).await;
    }
}

#[tokio::test]
async fn what_gathers_while_a_few_frames_are_under_way_travels_together() {
    let (stream, mut peer, _fake) = one_node().await;
    for seq in 1..=4 {
        submit(&stream, "alone").await;
        assert_eq!(peer.submit().await.tasks.len(), 1, "frame {seq} leaves at once");
    }
    for _ in 0..1000 {
        submit(&stream, "together").await;
    }
    peer.accept(1, 1, 1).await;
    let frame = peer.submit().await;
    assert_eq!((frame.seq, frame.below, frame.tasks.len()), (5, 2, 1000));
}

#[tokio::test]
async fn credit_is_respected() {
    let mut fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address]);
    let serve = async {
        let mut peer = fake.stream().await;
        let opened = ha::Opened { client: CLIENT, credit_bytes: 2000, credit_frames: 2, ..ha::Opened::default() };
        peer.open_with(opened).await;
        peer.watch().await;
        peer
    };
    let (stream, mut peer) = futures::join!(connection.open_stream("s"), serve);
    let stream = stream.unwrap();
    // The first is larger than all credit: it goes alone. Had the others not waited, they would not come together.
    stream.submit(Some(vec![0; 5000].into())).await.unwrap();
    assert_eq!(peer.submit().await.tasks.len(), 1);
    for _ in 0..3 {
        submit(&stream, "x").await;
        tokio::task::yield_now().await;
    }
    // Numbered, and kept back: what comes after the first frame that has to wait gathers in the queue.
    peer.accept(1, 1, 1).await;
    let (mut tasks, mut seq) = (0, 2);
    while tasks < 3 {
        let frame = peer.submit().await;
        assert_eq!((frame.seq, frame.below), (seq, seq), "nothing else is under way");
        tasks += frame.tasks.len();
        peer.accept(seq, 1 + seq * 10, frame.tasks.len() as u64).await;
        seq += 1;
    }
}

#[tokio::test]
async fn another_node_gets_the_same_numbers_again_and_only_then_the_position() {
    let (stream, mut peer, mut second) = two_nodes().await;
    let mut first = submit(&stream, "a").await;
    peer.submit().await;
    peer.accept(1, 3, 1).await;
    peer.results(12, vec![succeeded(99, "of somebody else")]).await;
    first.accepted().await.unwrap();
    let lost = [submit(&stream, "b").await, submit(&stream, "c").await];
    let mut before = vec![peer.submit().await];
    if before[0].tasks.len() == 1 {
        before.push(peer.submit().await);
    }
    peer.end(Status::unavailable("this node is stopping")).await;

    let mut peer = second.stream().await;
    assert_eq!(peer.open(CLIENT).await.client, CLIENT);
    let mut task = 4;
    let mut again = Vec::new();
    for _ in &before {
        again.push(peer.submit().await);
    }
    let later = submit(&stream, "d").await;
    for frame in &mut again {
        frame.below = before[0].below;
        peer.accept(frame.seq, task, frame.tasks.len() as u64).await;
        task += frame.tasks.len() as u64;
    }
    before.iter_mut().for_each(|frame| frame.below = again[0].below);
    assert_eq!(before, again, "the same numbers and the same content");
    let watch = peer.watch().await;
    assert_eq!((watch.from, watch.own), (Some(position(12)), true));
    assert_eq!(watch.tasks, [ha::TaskRange { first: 3, last: 5 }]);
    let next = peer.submit().await;
    assert_eq!(inputs(&next), [b"d"], "what is new comes after the watch: that cannot name its tasks");
    peer.accept(next.seq, 6, 1).await;
    peer.results(13, vec![succeeded(3, "A"), succeeded(4, "B"), succeeded(5, "C"), succeeded(6, "D")]).await;
    assert_eq!(later.await.unwrap().output.as_deref(), Some(&b"D"[..]));
    assert_eq!(first.await.unwrap().output.as_deref(), Some(&b"A"[..]));
    let [b, c] = lost;
    assert_eq!(b.await.unwrap().output.as_deref(), Some(&b"B"[..]));
    assert_eq!(c.await.unwrap().output.as_deref(), Some(&b"C"[..]));
}

#[tokio::test]
async fn a_result_that_comes_twice_is_told_once() {
    let (stream, mut peer, _fake) = one_node().await;
    let mut tasks = stream.submit_many(vec![None; 3], &Arc::default()).await.unwrap();
    let mut first = 1;
    while first < 4 {
        let frame = peer.submit().await;
        peer.accept(frame.seq, first, frame.tasks.len() as u64).await;
        first += frame.tasks.len() as u64;
    }
    assert_eq!(tasks.accepted().await.unwrap(), [TaskNo(1)..=TaskNo(3)]);
    peer.results(11, vec![succeeded(2, "first"), succeeded(2, "again")]).await;
    peer.results(11, vec![succeeded(2, "again"), succeeded(1, "x")]).await;
    let cancelled = vec![ha::TaskRange { first: 1, last: 9 }];
    peer.say(Down::Results(ha::Results { position: Some(position(12)), results: Vec::new(), cancelled })).await;
    let ends: Vec<_> = tasks.map(|end| end.unwrap()).collect().await;
    let seen: Vec<_> = ends.iter().map(|end| (end.task.0, end.state.known().unwrap(), end.output.clone())).collect();
    let expected = [
        (2, TaskState::Succeed, Some("first".into())),
        (1, TaskState::Succeed, Some("x".into())),
        (3, TaskState::Cancelled, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_expired_client_leaves_unknown_outcomes_and_goes_on_under_a_new_id() {
    let (stream, mut peer, mut second) = two_nodes().await;
    let mut accepted = submit(&stream, "a").await;
    peer.submit().await;
    peer.accept(1, 1, 1).await;
    accepted.accepted().await.unwrap();
    let unanswered = submit(&stream, "b").await;
    peer.submit().await;
    peer.end(Status::aborted("client 77 has expired")).await;
    assert!(matches!(unanswered.await, Err(FlameError::UnknownOutcome(_))));

    // The node itself is well: the next stream may go to either.
    let serve = async {
        let mut peer = second.stream().await;
        assert_eq!(peer.open(78).await.client, 0);
        assert_eq!(peer.watch().await.tasks, [ha::TaskRange { first: 1, last: 1 }]);
        let frame = peer.submit().await;
        assert_eq!((frame.seq, inputs(&frame)), (1, vec![&b"c"[..]]));
        peer.accept(1, 3, 1).await;
        peer.results(20, vec![succeeded(1, "A"), succeeded(3, "C")]).await;
        peer
    };
    let (third, _peer) = futures::join!(submit(&stream, "c"), serve);
    assert_eq!(accepted.await.unwrap().output.as_deref(), Some(&b"A"[..]));
    assert_eq!(third.await.unwrap().output.as_deref(), Some(&b"C"[..]));
}

#[tokio::test]
async fn a_refusal_concerns_its_frame_alone() {
    let (stream, mut peer, _fake) = one_node().await;
    let refused = submit(&stream, "a").await;
    peer.submit().await;
    let next = submit(&stream, "b").await;
    peer.submit().await;
    peer.refuse(1, &Status::invalid_argument("session s is not open")).await;
    peer.accept(2, 1, 1).await;
    peer.results(11, vec![succeeded(1, "B")]).await;
    assert!(matches!(refused.await, Err(FlameError::FailedPrecondition(_))));
    assert!(next.await.unwrap().succeeded());
}

/// What a task is told that was accepted, and one that was not, when the node says this.
async fn after(wrong: Down) -> [&'static str; 2] {
    let (stream, mut peer, _fake) = one_node().await;
    let mut accepted = submit(&stream, "a").await;
    peer.submit().await;
    peer.accept(1, 1, 1).await;
    accepted.accepted().await.unwrap();
    let unanswered = submit(&stream, "b").await;
    peer.submit().await;
    peer.say(wrong).await;
    let classes = [accepted.await, unanswered.await].map(|end| end.unwrap_err().class());
    assert_eq!(stream.submit(None).await.unwrap_err().class(), "internal", "the stream is over");
    classes
}

#[tokio::test]
async fn frames_that_cannot_be_end_everything_as_internal() {
    let accepted =
        |seq, first_task, count| Down::Accepted(ha::Accepted { seq, first_task, count, ..ha::Accepted::default() });
    let running = ha::TaskResult { task: 1, state: v1::TaskState::Running.into(), output: None, message: None };
    let results = |position, results| Down::Results(ha::Results { position, results, cancelled: Vec::new() });
    let wrong = [
        accepted(9, 2, 1),
        accepted(1, 2, 1),
        accepted(2, 2, 2),
        accepted(2, 0, 1),
        results(None, Vec::new()),
        results(Some(position(11)), vec![running]),
        Down::Opened(ha::Opened::default()),
    ];
    for wrong in wrong {
        assert_eq!(after(wrong.clone()).await, ["internal", "internal"], "{wrong:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_gone_ends_everything() {
    let (stream, mut peer, _fake) = one_node().await;
    let task = submit(&stream, "a").await;
    peer.submit().await;
    peer.end(Status::not_found("session s not found")).await;
    assert!(matches!(task.await, Err(FlameError::NotFound(_))));
    assert!(matches!(stream.submit(None).await, Err(FlameError::NotFound(_))));
    assert!(matches!(stream.close().await, Err(FlameError::NotFound(_))));
}

#[tokio::test]
async fn errors_at_the_beginning_are_those_of_opening() {
    let mut fake = Fake::start(Script::default()).await;
    let connection = connect(&[fake.address]);
    let refuse = async { fake.stream().await.end(Status::not_found("session s not found")).await };
    let (stream, ()) = futures::join!(connection.open_stream("s"), refuse);
    assert!(matches!(stream, Err(FlameError::NotFound(_))));

    let published = Fake::published(Script::default()).await;
    let stream = connect(&[published.address]).open_stream("s").await;
    assert!(matches!(stream, Err(FlameError::Unimplemented(_))), "{stream:?}");
}

#[tokio::test]
async fn dropping_everything_ends_the_stream_once_all_is_answered() {
    let (stream, mut peer, _fake) = one_node().await;
    drop(submit(&stream, "a").await);
    drop(stream);
    peer.submit().await;
    peer.accept(1, 1, 1).await;
    assert_eq!(peer.next().await, None, "the client's half is closed");
}

#[tokio::test]
async fn closing_waits_for_answers_and_results_still_come() {
    let (stream, mut peer, _fake) = one_node().await;
    let task = submit(&stream, "a").await;
    let other = stream.clone();
    let closing = tokio::spawn(stream.close());
    peer.submit().await;
    peer.accept(1, 1, 1).await;
    closing.await.unwrap().unwrap();
    assert!(matches!(other.submit(None).await, Err(FlameError::FailedPrecondition(_))));
    peer.results(11, vec![succeeded(1, "A")]).await;
    assert!(task.await.unwrap().succeeded());
    assert_eq!(peer.next().await, None, "nothing is waited for any more");
}

#[tokio::test]
async fn closing_with_nothing_to_wait_for_ends_the_client() {
    let (stream, mut peer, _fake) = one_node().await;
    let closing = tokio::spawn(stream.close());
    assert_eq!(peer.next().await, None);
    assert!(!closing.is_finished(), "the node has not ended the client yet");
    drop(peer);
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn arrays_options_and_cancels_are_frames_of_their_own() {
    let (stream, mut peer, _fake) = one_node().await;
    let options = Arc::new(TaskOptions { affinity: vec![b"k".to_vec()], priority: -1, timeout_ms: Some(9) });
    let mut array = stream.submit_array(1000, Some("in".into()), &options).await.unwrap();
    let frame = peer.submit().await;
    let expected = ha::TaskOptions { affinity: vec!["k".into()], priority: -1, timeout_ms: 9 };
    assert_eq!((frame.count, frame.tasks.len(), frame.options), (1000, 1, Some(expected)));
    peer.accept(1, 1, 1000).await;
    assert_eq!(array.accepted().await.unwrap(), [TaskNo(1)..=TaskNo(1000)]);
    let serve = async {
        assert!(matches!(peer.next().await, Some(Up::Cancel(ha::CancelTask { seq: 2, below: 2, task: 7 }))));
        peer.accept(2, 0, 0).await;
        assert!(matches!(peer.next().await, Some(Up::Cancel(ha::CancelTask { seq: 3, .. }))));
        peer.refuse(3, &Status::not_found("task 1001 not found in session s")).await;
    };
    let cancel = async { [stream.cancel(TaskNo(7)).await, stream.cancel(TaskNo(1001)).await] };
    let ([done, unknown], ()) = futures::join!(cancel, serve);
    assert!(done.is_ok() && matches!(unknown, Err(FlameError::NotFound(_))), "{done:?} {unknown:?}");
    let never = Arc::new(TaskOptions { timeout_ms: Some(0), ..TaskOptions::default() });
    assert!(matches!(stream.submit_with(None, &never).await, Err(FlameError::InvalidArgument(_))));
    let large = stream.submit(Some(vec![0; 5 << 20].into())).await;
    assert!(matches!(large, Err(FlameError::InvalidArgument(_))));
}

#[tokio::test]
async fn after_a_restore_every_task_is_asked_for() {
    let (stream, mut peer, fake) = one_node().await;
    let tasks = [submit(&stream, "a").await, submit(&stream, "b").await, submit(&stream, "c").await];
    let mut first = 1;
    while first < 4 {
        let frame = peer.submit().await;
        peer.accept(frame.seq, first, frame.tasks.len() as u64).await;
        first += frame.tasks.len() as u64;
    }
    fake.script(|script| {
        script.states.insert(1, v1::TaskState::Failed);
        script.states.insert(2, v1::TaskState::Running);
    });
    let now = Some(ha::Position { generation: 2, log_index: 1 });
    peer.say(Down::Resync(ha::Resync { now })).await;
    let [failed, running, unknown] = tasks;
    assert!(failed.await.unwrap().state.is(TaskState::Failed));
    assert!(matches!(unknown.await, Err(FlameError::NotFound(_))));
    peer.results(21, vec![succeeded(2, "B")]).await;
    assert!(running.await.unwrap().succeeded());
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_left() {
    let (mut first, mut second) = (Fake::start(Script::default()).await, Fake::start(Script::default()).await);
    let texts: Vec<String> = [first.address, second.address].iter().map(ToString::to_string).collect();
    let options = Options { attempt_timeout: Duration::from_millis(100), ..Options::default() };
    let connection = Connection::open(Endpoints::parse(&texts).unwrap(), options).unwrap();
    let (stream, mut silent) = open(&connection, &mut first).await;
    let task = submit(&stream, "a").await;
    silent.submit().await;
    let mut peer = second.stream().await;
    peer.open(CLIENT).await;
    assert_eq!(peer.submit().await.seq, 1);
    peer.accept(1, 1, 1).await;
    peer.watch().await;
    peer.results(11, vec![succeeded(1, "A")]).await;
    assert!(task.await.unwrap().succeeded());
}

#[tokio::test]
async fn without_progress_everybody_is_told_what_is_known() {
    let mut fake = Fake::start(Script::default()).await;
    let options = Options { patience: Duration::from_millis(200), ..Options::default() };
    let connection = Connection::open(Endpoints::parse(&[fake.address.to_string()]).unwrap(), options).unwrap();
    let (stream, mut peer) = open(&connection, &mut fake).await;
    let mut accepted = submit(&stream, "a").await;
    peer.submit().await;
    peer.accept(1, 1, 1).await;
    accepted.accepted().await.unwrap();
    let unanswered = submit(&stream, "b").await;
    peer.submit().await;
    peer.end(Status::unavailable("this node is stopping")).await;
    let refusing = tokio::spawn(async move {
        loop {
            fake.stream().await.end(Status::unavailable("this node is not ready")).await;
        }
    });
    assert!(matches!(unanswered.await, Err(FlameError::UnknownOutcome(_))));
    assert!(matches!(accepted.await, Err(FlameError::Unavailable(_))));
    assert!(matches!(stream.submit(None).await, Err(FlameError::Unavailable(_))));
    refusing.abort();
}

#[tokio::test]
async fn a_stream_outlives_a_cluster_without_a_leader_for_longer_than_a_call_does() {
    const DEADLINE: Duration = Duration::from_millis(50);
    let mut fake = Fake::start(Script::default()).await;
    let options = Options { deadline: DEADLINE, ..Options::default() };
    let connection = Connection::open(Endpoints::parse(&[fake.address.to_string()]).unwrap(), options).unwrap();
    let (stream, mut peer) = open(&connection, &mut fake).await;
    let task = submit(&stream, "a").await;
    assert_eq!(peer.submit().await.seq, 1);
    peer.end(Status::unavailable("this node is stopping")).await;
    let gone = Instant::now();
    while gone.elapsed() < 4 * DEADLINE {
        fake.stream().await.end(Status::unavailable("no coordinator leads the cluster at the moment")).await;
    }
    let mut peer = fake.stream().await;
    peer.open(CLIENT).await;
    assert_eq!(peer.submit().await.seq, 1, "under the same number");
    peer.accept(1, 1, 1).await;
    peer.watch().await;
    peer.results(11, vec![succeeded(1, "A")]).await;
    assert!(task.await.unwrap().succeeded());
}

#[tokio::test]
async fn a_reader_that_is_slow_gets_everything() {
    const TASKS: u64 = 48;
    let (stream, mut peer, _fake) = one_node().await;
    let array = stream.submit_array(TASKS, None, &Arc::default()).await.unwrap();
    peer.submit().await;
    peer.accept(1, 1, TASKS).await;
    let output = Bytes::from(vec![7; 1 << 20]);
    let telling = tokio::spawn(async move {
        for task in 1..=TASKS {
            peer.results(10 + task, vec![succeeded(task, output.clone())]).await;
        }
        peer
    });
    // More than may wait for a reader: the rest stays with the node until this begins to read.
    let _peer = telling.await.unwrap();
    let numbers: Vec<u64> = array.map(|end| end.unwrap().task.0).collect().await;
    assert_eq!(numbers, (1..=TASKS).collect::<Vec<_>>());
}
