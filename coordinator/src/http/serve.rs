//! The listener.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::routes::routes;
use super::scrape::Scraper;
use crate::listener::limited;

/// Most connections: a handful of scrapers and probes.
const CONNECTIONS_MAX: usize = 64;

/// Answers that one connection may wait for at a time.
const REQUESTS_AT_ONCE_MAX: usize = 4;

/// No answer takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Answers until `stop`. The server is tonic's, which takes HTTP/1 too: one server library in the process.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(listener: TcpListener, scraper: Scraper, stop: CancellationToken) -> anyhow::Result<()> {
    let upkeep = tokio::spawn(scraper.clone().keep_up());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = Server::builder()
        .accept_http1(true)
        .concurrency_limit_per_connection(REQUESTS_AT_ONCE_MAX)
        .timeout(ANSWER_MAX)
        .add_routes(Routes::from(routes(scraper)))
        .serve_with_incoming_shutdown(limited(incoming, CONNECTIONS_MAX, None), stop.cancelled_owned())
        .await;
    upkeep.abort();
    Ok(served?)
}
