//! The end of a proxy.

use flame_proto::v1;
use flame_proto::v1::TaskState::Running;
use tokio::time::timeout;
use tonic::Code;

use crate::fake::{Fake, LIMIT, Served, and_then_nothing, next, shown};

#[tokio::test]
async fn a_proxy_that_stops_tells_its_streams_and_ends() {
    let fake = Fake::start(|_| Ok(and_then_nothing([shown(1, Running)])));
    let mut proxy = Served::start(&[fake.address]).await;
    let request = v1::WatchTaskRequest { task_id: "1".into(), session_id: "s".into() };
    let mut updates = proxy.client().await.watch_task(request).await.unwrap().into_inner();
    assert_eq!(next(&mut updates).await.unwrap(), Some((1, Running)));
    proxy.stop();
    let error = next(&mut updates).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "this proxy is stopping"));
    timeout(LIMIT, &mut proxy.serving).await.expect("it does not end").unwrap();
    assert!(tokio::net::TcpStream::connect(proxy.address).await.is_err(), "somebody still listens");
}
