//! What the cache says on standard output: one JSON object per line, for whoever started it.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::json;

/// The cache serves. References to its objects have this endpoint; so many objects were there already.
pub(crate) fn ready(name: &str, endpoint: &str, objects: u64, metrics: Option<SocketAddr>) {
    let mut line = json!({ "event": "ready", "name": name, "endpoint": endpoint, "objects": objects });
    if let Some(metrics) = metrics {
        line["metrics"] = metrics.to_string().into();
    }
    // Whoever started the cache need not listen; the cache goes on.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
