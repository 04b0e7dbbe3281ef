//! Watches of many tasks on one stream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flame_proto::v1;
use flame_proto::v1::TaskState;
use flame_proto::v1::TaskState::{Failed, Pending, Running, Succeed};
use futures::{FutureExt, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Code, Status, Streaming};

use crate::fake::{Asked, Fake, LIMIT, Replies, Served, encoded, next, rest, shown, task};

/// Ways to everybody who watches.
type Watchers = Vec<mpsc::UnboundedSender<Result<bytes::Bytes, Status>>>;

/// A coordinator that shows what it is told to, and writes down what is registered.
struct Watched {
    fake: Fake,
    registered: Arc<Mutex<Vec<String>>>,
    show: Arc<Mutex<Watchers>>,
}

impl Watched {
    /// Every registration is answered with this state.
    fn start(snapshot: impl Fn(u64) -> TaskState + Send + Sync + Clone + 'static) -> Self {
        let registered = Arc::new(Mutex::new(Vec::new()));
        let show = Arc::new(Mutex::new(Vec::new()));
        let (log, shows) = (Arc::clone(&registered), Arc::clone(&show));
        let fake = Fake::start(move |asked| Ok(serve(asked, snapshot.clone(), Arc::clone(&log), &shows)));
        Self { fake, registered, show }
    }

    fn show(&self, number: u64, state: TaskState) {
        self.say(shown(number, state));
    }

    fn say(&self, message: Result<bytes::Bytes, Status>) {
        for stream in self.show.lock().unwrap().iter() {
            let _gone = stream.send(message.clone());
        }
    }

    /// Waits until these tasks were registered, and no others.
    async fn registered(&self, tasks: &[&str]) {
        let all = async {
            while self.registered.lock().unwrap().as_slice() != tasks {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = timeout(LIMIT, all).await;
        assert!(in_time.is_ok(), "{:?} instead of {tasks:?}", self.registered.lock().unwrap());
    }
}

fn serve(
    mut asked: Asked,
    snapshot: impl Fn(u64) -> TaskState + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
    shows: &Mutex<Watchers>,
) -> Replies {
    let (show, replies) = mpsc::unbounded_channel();
    shows.lock().unwrap().push(show.clone());
    let registering = async move {
        while let Some(Ok(message)) = asked.requests.next().await {
            let request = v1::WatchTaskRequest::decode(message).unwrap();
            let task_id = request.task_id.clone();
            let answer = match request.task_id.parse() {
                Ok(number) => encoded(&task(number, snapshot(number))),
                Err(_) => {
                    let metadata = Some(v1::Metadata { id: request.task_id, ..v1::Metadata::default() });
                    encoded(&v1::Task { metadata, ..task(0, Failed) })
                }
            };
            let _gone = show.send(Ok(answer));
            log.lock().unwrap().push(task_id);
        }
        futures::future::pending::<()>().await;
    };
    let registering = registering.into_stream().filter_map(|()| std::future::ready(None));
    futures::stream::select(UnboundedReceiverStream::new(replies), registering).boxed()
}

/// A published client of 0.7.
struct Client {
    registrations: Option<mpsc::Sender<v1::WatchTaskRequest>>,
    updates: Streaming<v1::Task>,
}

impl Client {
    async fn open(proxy: &Served) -> Self {
        let (registrations, outgoing) = mpsc::channel(16);
        let updates = proxy.client().await.watch_tasks(ReceiverStream::new(outgoing)).await.unwrap();
        Self { registrations: Some(registrations), updates: updates.into_inner() }
    }

    async fn register(&self, task: &str, session: &str) {
        let request = v1::WatchTaskRequest { task_id: task.into(), session_id: session.into() };
        self.registrations.as_ref().unwrap().send(request).await.unwrap();
    }

    async fn next(&mut self) -> (u64, TaskState) {
        next(&mut self.updates).await.unwrap().expect("the stream goes on")
    }

    async fn refused(&mut self) -> Status {
        next(&mut self.updates).await.unwrap_err()
    }
}

#[tokio::test]
async fn a_watch_of_many_goes_on_elsewhere_with_what_has_not_ended() {
    let mut first = Watched::start(|_| Pending);
    // It is behind with the third.
    let second = Watched::start(|number| if number == 2 { Running } else { Pending });
    let proxy = Served::start(&[first.fake.address, second.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    for number in 1..=3 {
        client.register(&number.to_string(), "s").await;
        assert_eq!(client.next().await, (number, Pending), "the present state");
    }
    first.show(1, Succeed);
    assert_eq!(client.next().await, (1, Succeed));
    first.show(3, Running);
    assert_eq!(client.next().await, (3, Running));
    first.fake.die();
    assert_eq!(client.next().await, (2, Running), "what is new there");
    second.registered(&["2", "3"]).await;
    second.show(3, Running);
    second.show(3, Succeed);
    assert_eq!(client.next().await, (3, Succeed), "nothing twice, and nothing back");
    // New ones are registered there.
    client.register("4", "s").await;
    assert_eq!(client.next().await, (4, Pending));
    client.registrations.take();
    second.show(2, Failed);
    second.show(4, Succeed);
    assert_eq!(rest(&mut client.updates).await.unwrap(), [(2, Failed), (4, Succeed)], "then it ends well");
}

#[tokio::test]
async fn who_registers_again_is_shown_the_present_state_again() {
    let coordinator = Watched::start(|_| Running);
    let proxy = Served::start(&[coordinator.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    for _ in 0..3 {
        client.register("1", "s").await;
        assert_eq!(client.next().await, (1, Running));
    }
    coordinator.show(1, Succeed);
    assert_eq!(client.next().await, (1, Succeed));
    client.register("01", "s").await;
    assert_eq!(client.next().await, (1, Running), "another look at it, under the number that it has");
}

#[tokio::test]
async fn a_stream_that_ends_while_nothing_is_open_harms_nobody() {
    let mut first = Watched::start(|_| Succeed);
    let second = Watched::start(|_| Pending);
    let proxy = Served::start(&[first.fake.address, second.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    client.register("1", "s").await;
    assert_eq!(client.next().await, (1, Succeed));
    first.fake.die();
    client.register("2", "s").await;
    assert_eq!(client.next().await, (2, Pending));
    second.registered(&["2"]).await;
}

#[tokio::test]
async fn what_ends_a_stream_is_passed_on() {
    let coordinator = Watched::start(|_| Pending);
    let proxy = Served::start(&[coordinator.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    client.register("1", "s").await;
    client.next().await;
    coordinator.say(Err(Status::failed_precondition("session s is closed")));
    let refused = client.refused().await;
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "session s is closed"));
}

#[tokio::test]
async fn a_stream_is_of_one_session_and_of_something() {
    let coordinator = Watched::start(|_| Pending);
    let proxy = Served::start(&[coordinator.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    client.register("1", "s").await;
    client.next().await;
    client.register("2", "other").await;
    let refused = client.refused().await;
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("not other"), "{refused}");
    let mut client = Client::open(&proxy).await;
    client.registrations.take();
    assert_eq!(client.refused().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_id_that_is_none_is_answered_under_its_own_name() {
    let coordinator = Watched::start(|_| Pending);
    let proxy = Served::start(&[coordinator.fake.address]).await;
    let mut client = Client::open(&proxy).await;
    client.register("x", "s").await;
    client.registrations.take();
    let told = client.updates.message().await.unwrap().unwrap();
    assert_eq!((told.metadata.unwrap().id.as_str(), told.status.unwrap().state()), ("x", Failed));
    assert_eq!(client.updates.message().await.unwrap(), None);
}
