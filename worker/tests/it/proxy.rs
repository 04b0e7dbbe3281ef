//! Services reach the cluster through a proxy of their worker, if it can be had.

use std::net::{TcpListener, TcpStream};

use crate::hub::Hub;
use crate::worker::{Place, Worker, read};

/// What a service finds as its endpoint, and where the worker says that its proxy is.
async fn endpoint_with(settings: &[(&str, &str)]) -> (String, Option<String>) {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let mut worker = Worker::start_with(&place, &[&hub.endpoint], settings);
    let ready = worker.lines_until("ready").await.remove(0);
    let proxy = ready.split(r#""proxy":""#).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    let mut link = hub.attach().await;
    let mut application = place.script(r#"echo "$FLAME_ENDPOINT" > "$OUT"; exec "$ECHO""#);
    application.environments.insert("OUT".into(), place.path("endpoint").display().to_string());
    link.start(application).await;
    link.ready().await;
    if let Some(proxy) = &proxy {
        assert!(TcpStream::connect(proxy).is_ok(), "nobody listens at {proxy}");
    }
    (read(&place.path("endpoint")).trim().to_owned(), proxy)
}

#[tokio::test]
async fn services_get_the_proxy_of_their_worker() {
    let (endpoint, proxy) = endpoint_with(&[]).await;
    assert_eq!(endpoint, format!("http://{}", proxy.unwrap()));
}

#[tokio::test]
async fn without_a_proxy_services_get_the_endpoint_itself() {
    let (endpoint, proxy) = endpoint_with(&[("proxy", "off")]).await;
    assert_eq!((endpoint.as_str(), proxy), ("http://127.0.0.1:9999", None));
}

#[tokio::test]
async fn a_worker_that_cannot_have_a_proxy_works_all_the_same() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (endpoint, proxy) = endpoint_with(&[("proxy", &address)]).await;
    assert_eq!((endpoint.as_str(), proxy), ("http://127.0.0.1:9999", None));
}
