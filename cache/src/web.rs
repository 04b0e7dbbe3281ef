//! What a cache tells over plain HTTP: its metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use flame_telemetry::{Exporter, ProcessGauges};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::arena::Segment;
use crate::metrics::Gauges;
use crate::store::Store;

#[derive(Clone)]
struct Shown {
    exporter: Arc<Exporter>,
    process: ProcessGauges,
    gauges: Gauges,
    store: Store,
    segment: Option<Segment>,
}

/// Answers until it is dropped. A cache has no histograms, so nothing gathers while nobody looks.
pub(crate) async fn serve(listener: TcpListener, exporter: Exporter, store: Store, segment: Option<Segment>) {
    let process = ProcessGauges::register(&exporter.registrar());
    let gauges = Gauges::register(&exporter.registrar());
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .fallback(elsewhere)
        .with_state(Shown { exporter: Arc::new(exporter), process, gauges, store, segment });
    let served = flame_listen::plain::serve(listener, Routes::from(routes), std::future::pending()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "metrics are served no more; the cache goes on");
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    shown.process.refresh();
    shown.gauges.show(shown.store.held(), shown.segment.as_ref().map_or(0, Segment::used));
    ([(CONTENT_TYPE, flame_telemetry::CONTENT_TYPE)], shown.exporter.render())
}

async fn livez() -> impl IntoResponse {
    "ok\n"
}

async fn elsewhere() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there are /metrics and /livez\n")
}
