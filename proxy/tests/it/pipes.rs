//! Streams that go through.

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::backup_client::BackupClient;
use flame_proto::ha::sessions_client::SessionsClient;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::fake::{Fake, LIMIT, Replies, Served, several};

/// A coordinator that sends back what it gets.
fn echo() -> Fake {
    Fake::start(|asked| Ok(asked.requests.boxed() as Replies))
}

async fn open(proxy: &Served) -> Result<(mpsc::Sender<ha::SessionUp>, Streaming<ha::SessionDown>), Status> {
    let (up, outgoing) = mpsc::channel(16);
    let mut client = SessionsClient::connect(format!("http://{}", proxy.address)).await.unwrap();
    let down = client.stream(ReceiverStream::new(outgoing)).await?.into_inner();
    Ok((up, down))
}

async fn goes_through(up: &mpsc::Sender<ha::SessionUp>, down: &mut Streaming<ha::SessionDown>) {
    up.send(ha::SessionUp::default()).await.unwrap();
    assert_eq!(timeout(LIMIT, down.message()).await.unwrap().unwrap(), Some(ha::SessionDown::default()));
}

#[tokio::test]
async fn a_stream_of_ours_goes_through_and_is_told_when_its_coordinator_is_gone() {
    let (mut first, second) = (echo(), echo());
    let proxy = Served::start(&[first.address, second.address]).await;
    let (up, mut down) = open(&proxy).await.unwrap();
    goes_through(&up, &mut down).await;
    goes_through(&up, &mut down).await;
    first.die();
    let error = timeout(LIMIT, down.message()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let (up, mut down) = open(&proxy).await.unwrap();
    goes_through(&up, &mut down).await;
    assert_eq!(second.asked(), ["Stream"]);
    drop(up);
    assert_eq!(timeout(LIMIT, down.message()).await.unwrap().unwrap(), None, "its end goes through as well");
}

#[tokio::test]
async fn a_refusal_goes_through() {
    let fake = Fake::start(|_| Err(Status::aborted("the client has expired")));
    let proxy = Served::start(&[fake.address]).await;
    let refused = open(&proxy).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Aborted, "the client has expired"));
}

#[tokio::test]
async fn a_stream_with_one_request_goes_through() {
    let fake = Fake::start(|_| Ok(several([Ok(Bytes::new()), Ok(Bytes::new())])));
    let proxy = Served::start(&[fake.address]).await;
    let mut client = BackupClient::connect(format!("http://{}", proxy.address)).await.unwrap();
    let frames = client.take(ha::TakeBackupRequest::default()).await.unwrap().into_inner();
    assert_eq!(frames.map(|frame| frame.unwrap()).count().await, 2);
}
