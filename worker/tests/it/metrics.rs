//! What the worker says of itself is what it did.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::hub::{Hub, soon};
use crate::worker::{Place, Worker};

/// One scrape, as text.
async fn scrape(address: &str) -> String {
    let address = address.to_owned();
    let exchange = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let text = soon("a scrape", exchange).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    text
}

/// Scrapes until every one of these lines is there.
async fn shows(address: &str, lines: &[&str]) {
    soon(&format!("{lines:?}"), async {
        loop {
            let text = scrape(address).await;
            let missing = lines.iter().find(|line| !text.lines().any(|found| found == **line));
            if missing.is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn tasks_executors_and_reconnections_are_counted() {
    let place = Place::new();
    let mut hub = Hub::start().await;
    let mut worker = Worker::start_with(&place, &[&hub.endpoint], &[("metrics", "127.0.0.1:0")]);
    let mut link = hub.attach().await;
    let ready = worker.lines_until("ready").await.remove(0);
    let address = ready.split(r#""metrics":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    shows(&address, &["flame_worker_attached 1", "flame_worker_attachments_total 1", "flame_worker_tasks 0"]).await;

    link.start(place.echo(&[])).await;
    link.ready().await;
    link.assign(1, &["a", "fail on purpose", "b"]).await;
    assert_eq!(link.results(3).await.len(), 3);
    let after = [
        "flame_worker_tasks_total{end=\"succeeded\"} 2",
        "flame_worker_tasks_total{end=\"failed\"} 1",
        "flame_worker_tasks_total{end=\"returned\"} 0",
        "flame_worker_tasks 0",
        "flame_worker_executors 1",
        "flame_worker_results_held 3",
        "# TYPE flame_worker_tasks_total counter",
        "# HELP flame_worker_executors Executors of this worker.",
    ];
    shows(&address, &after).await;

    drop(link);
    let _again = hub.attach().await;
    shows(&address, &["flame_worker_attached 1", "flame_worker_attachments_total 2"]).await;
}
