//! The listener.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::routes::routes;
use super::scrape::Scraper;

/// Answers until `stop`.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve(listener: TcpListener, scraper: Scraper, stop: CancellationToken) -> anyhow::Result<()> {
    let upkeep = tokio::spawn(scraper.clone().keep_up());
    let routes = Routes::from(routes(scraper));
    let served = flame_listen::plain::serve(listener, routes, stop.cancelled_owned()).await;
    upkeep.abort();
    Ok(served?)
}
