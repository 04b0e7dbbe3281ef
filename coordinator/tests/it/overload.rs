//! A node that has too much to do says so, has done nothing, and works again once it has not. And a client that reads
//! nothing costs a bounded amount of memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use flame_coordinator::builtins::builtins;
use flame_coordinator::consensus::{Profile, SnapshotLimits};
use flame_coordinator::drive::events::INBOX_RANGES_MAX;
use flame_coordinator::drive::gateway::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};
use flame_coordinator::drive::leader::Defaults;
use flame_coordinator::memory::{MEMORY_MIN, Memory, Share};
use flame_coordinator::node::{Listen, Options, Parts};
use flame_machine::ClusterConfig;
use flame_machine::command::{Command, Inputs, Submit};
use flame_machine::event::Event;
use flame_proto::ha::session_down::Frame as Down;
use flame_proto::ha::session_up::Frame as Up;
use flame_proto::ha::sessions_client::SessionsClient;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_proto::{ha, v1};
use flame_storage::MemberNode;
use flame_types::limits::TASK_PAYLOAD_BYTES_MAX;
use flame_types::{
    CoordinatorId, Generation, LogIndex, Payload, SessionId, SessionKey, TaskNo, TaskOptions, TaskState,
};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::consensus::harness::{DEADLINE, eventually};
use crate::served::serve;

const SESSION: &str = "s";

/// A cluster of one with the least memory, in this process.
struct Node {
    parts: Parts,
    channel: Channel,
    memory: Memory,
    _dir: TempDir,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(Some(MEMORY_MIN)).unwrap();
        let parts = Parts::start(&options(&dir, memory)).await.unwrap();
        parts.consensus.bootstrap().await.unwrap();
        let channel = serve(&parts).await;
        let node = Self { parts, channel, memory, _dir: dir };
        node.create_session().await;
        node
    }

    fn frontend(&self) -> FrontendClient<Channel> {
        FrontendClient::new(self.channel.clone())
    }

    /// Before there is a leader a call is refused as unavailable. The first that is served finds the applications that
    /// ship with Flame.
    async fn create_session(&self) {
        let spec = || v1::SessionSpec { application: "flmping".into(), ..v1::SessionSpec::default() };
        eventually("a session is created", async || {
            let request = v1::CreateSessionRequest { session_id: SESSION.into(), session: Some(spec()) };
            let answer = self.frontend().create_session(request).await;
            match answer {
                Ok(created) => Some(created),
                Err(refused) => {
                    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
                    None
                }
            }
        })
        .await;
    }

    /// Lets nothing be applied until the sender is dropped: what comes in is neither answered nor lost.
    async fn hold_apply(&self) -> Sender<()> {
        let (release, held) = channel::<()>();
        let (entered, is_held) = tokio::sync::oneshot::channel();
        let consensus = self.parts.consensus.clone();
        tokio::spawn(async move {
            let hold = move |_: &flame_machine::State| {
                let _nobody_waits = entered.send(());
                let _released = held.recv();
            };
            consensus.with_state(hold).await
        });
        is_held.await.unwrap();
        release
    }

    async fn tasks(&self) -> usize {
        let request = v1::ListTasksRequest { session_id: SESSION.into() };
        let tasks = self.frontend().list_tasks(request).await.unwrap().into_inner();
        tasks.map(Result::unwrap).count().await
    }

    async fn stop(self) {
        self.parts.consensus.shutdown().await;
    }
}

fn options(dir: &TempDir, memory: Memory) -> Options {
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Options {
        id: CoordinatorId(1),
        cluster_id: "overload".into(),
        data_dir: dir.path().to_owned(),
        listen: Listen { client: nowhere, worker: nowhere, peer: nowhere, metrics: None },
        members: vec![(CoordinatorId(1), MemberNode::default())],
        join: Vec::new(),
        own: MemberNode::default(),
        profile: Profile::Fast,
        memory,
        disk_floor: Some(64 << 20),
        behind_max: 100_000,
        defaults: Defaults { config: ClusterConfig::default(), builtins: builtins() },
        snapshots: SnapshotLimits::default(),
        tls: None,
        sync: false,
    }
}

fn create_task(input: Bytes) -> v1::CreateTaskRequest {
    let spec = v1::TaskSpec { session_id: SESSION.into(), input: Some(input), ..v1::TaskSpec::default() };
    v1::CreateTaskRequest { task: Some(spec) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_with_a_time_to_come_back_and_does_what_it_took_in() {
    let node = Node::start().await;
    let release = node.hold_apply().await;
    let input = Bytes::from(vec![7; TASK_PAYLOAD_BYTES_MAX]);
    // So many fit inside, and so many among those who wait.
    let fit = |share| node.memory.share(share) / TASK_PAYLOAD_BYTES_MAX;
    let (room, calls) = (fit(Share::Commands) + fit(Share::Waiting), 20);
    let (answers, mut answered) = mpsc::channel::<Result<(), Status>>(calls);
    for _ in 0..calls {
        let (mut frontend, request, answers) = (node.frontend(), create_task(input.clone()), answers.clone());
        tokio::spawn(async move {
            let answer = frontend.create_task(request).await.map(drop);
            answers.send(answer).await
        });
    }
    for _ in room..calls {
        let status = answered.recv().await.unwrap().expect_err("nothing can be answered well");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("a hint");
        assert!((RETRY_AFTER_MIN..=RETRY_AFTER_MAX).contains(&retry_after), "{retry_after:?}");
    }
    assert!(answered.try_recv().is_err(), "the others are inside, or wait");
    drop(release);
    for _ in 0..room {
        answered.recv().await.unwrap().expect("what was taken in is done");
    }
    assert_eq!(node.tasks().await, room, "what was refused was not done");
    node.frontend().create_task(create_task(input)).await.expect("there is room again");
    assert_eq!(node.tasks().await, room + 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_no_entry_could_hold_is_refused_at_once() {
    let node = Node::start().await;
    let mut stream = Stream::open(&node).await;
    let tasks = vec![ha::TaskInput { input: Some(vec![0; TASK_PAYLOAD_BYTES_MAX].into()) }; 9];
    stream.say(Up::Submit(ha::SubmitTasks { seq: 1, below: 1, tasks, ..ha::SubmitTasks::default() })).await;
    let refused = stream.down.message().await.expect_err("it is too large");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    node.frontend().create_task(create_task("small".into())).await.expect("nobody else is harmed");
    node.stop().await;
}

/// A stream of the session.
struct Stream {
    up: mpsc::Sender<ha::SessionUp>,
    down: tonic::Streaming<ha::SessionDown>,
    at: (Generation, u64),
}

impl Stream {
    async fn open(node: &Node) -> Self {
        let (up, frames) = mpsc::channel(4);
        let open = ha::OpenStream { feature_level: 1, session_id: SESSION.into(), client: 0 };
        up.send(ha::SessionUp { frame: Some(Up::Open(open)) }).await.unwrap();
        let mut sessions = SessionsClient::new(node.channel.clone()).max_encoding_message_size(usize::MAX);
        let mut down = sessions.stream(ReceiverStream::new(frames)).await.unwrap().into_inner();
        let Some(Down::Opened(opened)) = down.message().await.unwrap().unwrap().frame else { panic!("not opened") };
        let position = opened.position.unwrap();
        Self { up, down, at: (Generation(position.generation), position.log_index) }
    }

    async fn say(&self, frame: Up) {
        self.up.send(ha::SessionUp { frame: Some(frame) }).await.unwrap();
    }

    /// Tells the node's followers that a task has ended, as apply would.
    fn publish(&mut self, node: &Node, output: Bytes) {
        self.at.1 += 1;
        let ended = Event::Ended {
            session: SessionKey(1),
            task: TaskNo(self.at.1),
            state: TaskState::Succeed,
            attempt: 1,
            output: Some(Payload(output)),
            message: None,
        };
        node.parts.events.publish((self.at.0, LogIndex(self.at.1)), &[ended]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_a_stream_for_each_of_many_sessions() {
    // Far more than the 200 that HTTP/2 servers usually allow. One stream a session; here they share one.
    const STREAMS: usize = 1_000;
    let node = Node::start().await;
    let mut streams = futures::future::join_all((0..STREAMS).map(|_| Stream::open(&node))).await;
    let last = streams.last_mut().unwrap();
    let tasks = vec![ha::TaskInput { input: Some("in".into()) }];
    last.say(Up::Submit(ha::SubmitTasks { seq: 1, below: 1, tasks, ..ha::SubmitTasks::default() })).await;
    let Some(Down::Accepted(accepted)) = last.down.message().await.unwrap().unwrap().frame else { panic!("no answer") };
    assert_eq!((accepted.seq, accepted.count, accepted.error), (1, 1, None));
    node.frontend().create_task(create_task("beside them".into())).await.expect("calls are served");
    assert_eq!(node.tasks().await, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_takes_a_bounded_amount_of_memory() {
    const OUTPUT_BYTES: usize = 10_000;
    const WAITING_MAX: usize = 1 << 20;
    let node = Node::start().await;
    let mut stream = Stream::open(&node).await;
    stream.say(Up::Watch(ha::WatchFrom { own: false, ..ha::WatchFrom::default() })).await;
    let output = Bytes::from(vec![7; OUTPUT_BYTES]);
    // The watch has begun when results arrive; from then on nobody reads.
    let first = async {
        loop {
            stream.publish(&node, output.clone());
            let message = tokio::time::timeout(Duration::from_millis(20), stream.down.message()).await;
            if let Ok(message) = message {
                return message.unwrap().unwrap().frame;
            }
        }
    };
    assert!(matches!(first.await, Some(Down::Results(_))));
    let share = node.memory.share(Share::Results);
    let room: Arc<tokio::sync::Semaphore> = node.parts.gateway.message_room();
    for _ in 0..(64 << 20) / OUTPUT_BYTES {
        stream.publish(&node, output.clone());
        assert!(node.parts.events.results_waiting() <= share, "what waits to be taken");
        let sent = node.memory.share(Share::Messages) - room.available_permits();
        assert!(sent <= WAITING_MAX + OUTPUT_BYTES * 64, "what waits for the connection: {sent}");
    }
    drop(stream);
    eventually("everything is given back", async || {
        let all = node.memory.share(Share::Messages);
        (room.available_permits() == all && node.parts.events.results_waiting() == 0).then_some(())
    })
    .await;
    node.stop().await;
}

/// Commands that wait for their answers at a time.
const PROPOSALS: usize = 1_000;

async fn propose(node: &Node, command: Command) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    node.parts.gateway.propose(command, deadline).await.expect("it is done");
}

async fn cancel(node: &Node, tasks: std::ops::RangeInclusive<u64>) {
    let session = SessionId::parse(SESSION).unwrap();
    let cancels = futures::stream::iter(tasks.map(TaskNo));
    let each = |task| propose(node, Command::Cancel { session: session.clone(), task });
    cancels.map(each).buffer_unordered(PROPOSALS).collect::<()>().await;
}

/// What a watch has in its inbox is bounded: whoever reads nothing falls out of it, and is told everything all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_out_of_its_inbox_tells_every_end_once() {
    // More than the stream and its connection hold …
    const HELD_UP: u64 = 15_000;
    // … and more than the inbox does.
    const TASKS: u64 = HELD_UP + INBOX_RANGES_MAX as u64 + 1_000;
    let node = Node::start().await;
    let inputs = Inputs::Array { count: TASKS, input: None };
    let (session, options) = (SessionId::parse(SESSION).unwrap(), TaskOptions::default());
    propose(&node, Command::Submit(Box::new(Submit { session, inputs, options, idempotency_key: None }))).await;
    let register = |task: u64| v1::WatchTaskRequest { task_id: task.to_string(), session_id: SESSION.into() };
    let registrations = futures::stream::iter((1..=TASKS).map(register)).chain(futures::stream::pending());
    let mut watch = node.frontend().watch_tasks(registrations).await.unwrap().into_inner();
    let mut next = async || -> (u64, TaskState) {
        let message = tokio::time::timeout(DEADLINE, watch.message()).await.expect("something is told");
        let task = message.unwrap().expect("it goes on");
        let state = TaskState::from_number(task.status.unwrap().state).unwrap();
        (task.metadata.unwrap().id.parse().unwrap(), state)
    };
    for _ in 0..TASKS {
        assert_eq!(next().await.1, TaskState::Pending);
    }

    // From here on nobody reads.
    cancel(&node, 1..=HELD_UP).await;
    cancel(&node, HELD_UP + 1..=TASKS).await;
    let mut ended = std::collections::BTreeSet::new();
    while (ended.len() as u64) < TASKS {
        let (task, state) = next().await;
        assert!(state.is_terminal(), "task {task}: {state:?}");
        assert!(ended.insert(task), "task {task} is told twice");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_a_full_node_is_unavailable_and_not_overloaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir, Memory::new(Some(MEMORY_MIN)).unwrap());
    // The other two are never there.
    options.members.extend([2, 3].map(|id| (CoordinatorId(id), MemberNode::default())));
    let parts = Parts::start(&options).await.unwrap();
    let input = Payload(vec![7; TASK_PAYLOAD_BYTES_MAX].into());
    let submit = Submit {
        session: SessionId::parse(SESSION).unwrap(),
        inputs: Inputs::Each(vec![Some(input)]),
        options: TaskOptions::default(),
        idempotency_key: None,
    };
    let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
    let propose = || parts.gateway.propose(Command::Submit(Box::new(submit.clone())), deadline);
    // More than there is room for.
    let refused = futures::future::join_all((0..20).map(|_| propose())).await;
    assert!(refused.into_iter().all(|refused| Status::from(refused.unwrap_err()).code() == Code::Unavailable));
    parts.consensus.shutdown().await;
}
