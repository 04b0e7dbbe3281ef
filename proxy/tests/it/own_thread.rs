//! A proxy inside another daemon.

use flame_proto::v1;
use flame_proxy::{OwnThread, TlsFiles};

use crate::fake::{Fake, client, one};

fn get() -> v1::GetSessionRequest {
    v1::GetSessionRequest { session_id: "s".into() }
}

#[tokio::test]
async fn it_goes_to_coordinators_that_it_hears_of() {
    let mut gone = Fake::start(|_| one(&v1::Session::default()));
    let there = Fake::start(|_| one(&v1::Session::default()));
    let proxy = OwnThread::start("proxy", "127.0.0.1:0", &[gone.address.to_string()], TlsFiles::default()).unwrap();
    gone.die();
    proxy.learn(&[format!("http://{}", gone.address), format!("http://{}", there.address)]);
    client(proxy.address()).await.get_session(get()).await.unwrap();
    assert_eq!(there.asked(), ["GetSession"]);
}

#[tokio::test]
async fn it_says_why_it_cannot_be() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let somewhere = ["127.0.0.1:1".to_owned()];
    assert!(
        OwnThread::start("proxy", &taken.local_addr().unwrap().to_string(), &somewhere, TlsFiles::default()).is_err()
    );
    let error = OwnThread::start("proxy", "127.0.0.1:0", &["ftp://x".to_owned()], TlsFiles::default()).unwrap_err();
    assert!(error.to_string().contains("ftp://x"), "{error}");
}
