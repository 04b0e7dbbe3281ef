//! Services that speak bare frames, played by the test: what the worker does with good ones and with others.

use std::path::PathBuf;

use flame_proto::ha;
use flame_proto::ha::service_down::Frame as Down;
use flame_proto::ha::service_up::Frame as Up;
use flame_proto::ha::worker_down::Frame as FromHub;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::hub::{EXECUTOR, Hub, Link, soon};
use crate::worker::{Place, Worker};

/// A worker whose service is a process that does nothing, while the test listens on its socket for frames.
struct Stage {
    link: Link,
    service: UnixStream,
    socket: PathBuf,
    _hub: Hub,
    _worker: Worker,
}

impl Stage {
    async fn new(place: &Place) -> Self {
        let mut hub = Hub::start().await;
        let worker = Worker::start_with(place, &[&hub.endpoint], &[("terminate_grace", "50ms")]);
        let link = hub.attach().await;
        link.start(place.script("echo $$ > \"$FLAME_FRAMES_ENDPOINT.pid\"; exec sleep 1000")).await;
        let socket = place.path("s").join(format!("{EXECUTOR}.{}.frames", worker.pid()));
        let pid = format!("s/{EXECUTOR}.{}.frames.pid", worker.pid());
        place.written_pid(&pid).await;
        std::fs::remove_file(place.path(&pid)).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let (service, _) = soon("the worker's connection", listener.accept()).await.unwrap();
        Self { link, service, socket, _hub: hub, _worker: worker }
    }

    async fn hear(&mut self) -> Down {
        soon("a frame of the worker", async {
            let length = self.service.read_u32().await.unwrap();
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            self.service.read_exact(&mut frame).await.unwrap();
            ha::ServiceDown::decode(&frame[..]).unwrap().frame.unwrap()
        })
        .await
    }

    async fn say(&mut self, frame: Up) {
        let frame = ha::ServiceUp { frame: Some(frame) }.encode_to_vec();
        self.say_bytes(&u32::try_from(frame.len()).unwrap().to_be_bytes()).await;
        self.say_bytes(&frame).await;
    }

    async fn say_bytes(&mut self, bytes: &[u8]) {
        self.service.write_all(bytes).await.unwrap();
    }

    async fn entered(&mut self) {
        assert!(matches!(self.hear().await, Down::Enter(enter) if enter.session_id == "s-10"));
        let entered = ha::EnteredSession { feature_level: 1, in_flight_max: 4, ..ha::EnteredSession::default() };
        self.say(Up::Entered(entered)).await;
        self.link.ready().await;
    }

    /// One task, which the service has now.
    async fn invoked(&mut self) -> u64 {
        self.link.assign(1, &["input"]).await;
        let Down::Invoke(invoke) = self.hear().await else { panic!("a task expected") };
        let task = &invoke.tasks[0];
        assert_eq!((invoke.tasks.len(), task.token, task.input.as_deref()), (1, 101, Some(&b"input"[..])));
        task.token
    }

    /// What the worker says of a service that it gives up with one task.
    async fn given_up(mut self, says: &str) {
        let failed = self.link.failed().await;
        assert_eq!((failed.executor, &failed.started[..]), (EXECUTOR, &[101][..]));
        let Some(ha::executor_failed::Cause::Crashed(message)) = failed.cause else { panic!("a crash expected") };
        assert!(message.contains(says) && message.contains("while it ran task 1"), "{message}");
        assert!(!self.socket.exists(), "the socket is removed");
    }
}

fn done(token: u64) -> Up {
    let done = ha::TaskDone { token, output: Some("output".into()), ran_us: 7, ..ha::TaskDone::default() };
    Up::Done(ha::TasksDone { done: vec![done] })
}

#[tokio::test]
async fn a_session_from_enter_to_leave() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    let token = stage.invoked().await;
    stage.link.send(FromHub::Cancel(ha::Cancel { tokens: vec![token] })).await;
    assert_eq!(stage.link.revoke_answer().await, (vec![], vec![token]));
    assert_eq!(stage.hear().await, Down::Cancel(ha::CancelInvoke { token }));
    stage.say(done(token)).await;
    let result = stage.link.results(1).await.remove(0);
    assert_eq!((result.token, result.output.as_deref(), result.ran_us), (token, Some(&b"output"[..]), 7));
    stage.link.send(FromHub::Stop(ha::Stop { executor: EXECUTOR })).await;
    assert_eq!(stage.hear().await, Down::Leave(ha::LeaveSession {}));
    stage.say(Up::Left(ha::LeftSession::default())).await;
    stage.link.left().await;
    assert!(!stage.socket.exists(), "the socket is removed");
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_service() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    stage.invoked().await;
    stage.say_bytes(&u32::MAX.to_be_bytes()).await;
    stage.given_up("it announced a frame of more than 67108864 bytes").await;
}

#[tokio::test]
async fn garbage_ends_the_service() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    stage.invoked().await;
    stage.say_bytes(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).await;
    stage.given_up("it sent a frame that cannot be read").await;
}

#[tokio::test]
async fn a_frame_that_nobody_knows_ends_the_service() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    stage.invoked().await;
    stage.say_bytes(&[0, 0, 0, 0]).await;
    stage.given_up("it sent a frame that this worker does not know").await;
}

#[tokio::test]
async fn a_service_that_closes_its_connection_is_given_up() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    stage.invoked().await;
    stage.service.shutdown().await.unwrap();
    stage.given_up("it ended the stream").await;
}

#[tokio::test]
async fn a_service_that_ends_in_the_middle_of_a_frame_has_answered_what_came_before() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    stage.entered().await;
    let token = stage.invoked().await;
    stage.say(done(token)).await;
    stage.say_bytes(&[0, 0, 1, 0, 1, 2, 3]).await;
    stage.service.shutdown().await.unwrap();
    assert_eq!(stage.link.results(1).await[0].token, token);
    let failed = stage.link.failed().await;
    assert_eq!(failed.started, []);
    assert!(format!("{:?}", failed.cause).contains("in the middle of a frame while it was idle"), "{failed:?}");
}

#[tokio::test]
async fn one_that_speaks_wrongly_when_it_enters_does_not_enter() {
    let place = Place::new();
    let mut stage = Stage::new(&place).await;
    assert!(matches!(stage.hear().await, Down::Enter(_)));
    stage.say_bytes(b"HTTP/1.1 400 Bad Request").await;
    let (code, message) = stage.link.bind_failure().await;
    assert_eq!(code, 12, "{message}");
    assert!(message.contains("the connection to the service broke: it "), "{message}");
    assert!(message.contains("in OnSessionEnter"), "{message}");
}
