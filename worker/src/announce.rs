//! What the worker says on standard output: one JSON object per line, for whoever started it.

use std::io::Write;
use std::net::SocketAddr;

use flame_types::NodeName;
use serde_json::{Value, json};

/// The worker has started: leftovers are gone, the leader is being looked for. Metrics are served there, if anywhere, and
/// services reach the cluster there, unless they are given an endpoint of the cluster itself.
pub(crate) fn ready(name: &NodeName, metrics: Option<SocketAddr>, proxy: Option<SocketAddr>) {
    let mut line = json!({ "event": "ready", "name": name.as_str() });
    for (key, address) in [("metrics", metrics), ("proxy", proxy)] {
        if let Some(address) = address {
            line[key] = address.to_string().into();
        }
    }
    say(&line);
}

/// A leader has taken the worker for the first time.
pub(crate) fn attached(name: &NodeName, leader: &str) {
    say(&json!({ "event": "attached", "name": name.as_str(), "leader": leader }));
}

fn say(line: &Value) {
    // Whoever started the worker need not listen; the worker goes on.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
