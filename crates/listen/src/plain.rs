//! Plain HTTP for those who watch a daemon. The server is tonic's, which takes HTTP/1 too: one server library in a
//! process.
//!
//! **Invariant:** whoever watches cannot take much: connections, answers under way and the time of each are limited.

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::limited;

/// Most connections: a handful of scrapers and probes.
pub const CONNECTIONS_MAX: usize = 64;

/// Answers that one connection may wait for at a time.
const REQUESTS_AT_ONCE_MAX: usize = 4;

/// No answer takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Answers until `stop` is over.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .accept_http1(true)
        .concurrency_limit_per_connection(REQUESTS_AT_ONCE_MAX)
        .timeout(ANSWER_MAX)
        .add_routes(routes)
        .serve_with_incoming_shutdown(limited(incoming, CONNECTIONS_MAX, || ()), stop)
        .await
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// One request and the head of its answer. Any answer will do: nothing is routed here.
    async fn round_trip(connection: &mut TcpStream) -> String {
        ask(connection).await;
        answer(connection).await
    }

    async fn ask(connection: &mut TcpStream) {
        connection.write_all(b"GET /nowhere HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
    }

    async fn answer(connection: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_served_when_one_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Routes::default(), std::future::pending()));
        let mut inside = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut connection = TcpStream::connect(address).await.unwrap();
            assert!(round_trip(&mut connection).await.starts_with("HTTP/1.1 "));
            inside.push(connection);
        }
        let mut outside = TcpStream::connect(address).await.unwrap();
        ask(&mut outside).await;
        // The server has time for everybody inside meanwhile.
        for connection in &mut inside {
            assert!(round_trip(connection).await.starts_with("HTTP/1.1 "));
        }
        assert!(outside.read_u8().now_or_never().is_none(), "it is answered although all places are taken");
        drop(inside.pop());
        assert!(answer(&mut outside).await.starts_with("HTTP/1.1 "));
        serving.abort();
    }
}
