//! The answers.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use super::scrape::Scraper;

/// How long the state may take to answer before this node counts as stuck.
const LIVENESS_MAX: Duration = Duration::from_secs(5);

pub(super) fn routes(scraper: Scraper) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(elsewhere)
        .with_state(scraper)
}

async fn metrics(State(scraper): State<Scraper>) -> impl IntoResponse {
    ([(CONTENT_TYPE, flame_telemetry::CONTENT_TYPE)], scraper.scrape().await)
}

async fn livez(State(scraper): State<Scraper>) -> impl IntoResponse {
    let answered = tokio::time::timeout(LIVENESS_MAX, scraper.gateway().with_state(|_| ())).await;
    match answered {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the state does not answer\n".to_owned()),
    }
}

async fn readyz(State(scraper): State<Scraper>) -> impl IntoResponse {
    match scraper.gateway().ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn elsewhere() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n")
}
