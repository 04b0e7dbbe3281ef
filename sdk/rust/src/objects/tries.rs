//! Which node is asked next, and when the next one is not asked any more.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::cache::Node;
use crate::FlameError;
use crate::fate::{Fate, Trouble};
use crate::repeats::Kind;
use crate::retry::Backoff;
use flame_tls::Settings;

/// How long nodes are tried that are not there.
pub const NOT_THERE_MAX: Duration = Duration::from_secs(3);

/// How long nodes are tried that say themselves that they cannot serve now, as while the coordinators elect a leader.
pub const UNABLE_MAX: Duration = Duration::from_secs(20);

/// How long a node may be silent in the middle of a call.
pub const SILENT_MAX: Duration = Duration::from_secs(30);

/// Whoever takes an object more slowly is as good as silent.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 * 1024;

/// How errors name what is to be set.
const SETTINGS: Settings = Settings {
    ca: "FLAME_CA_FILE, --ca-file or cache.tls.ca_file in flame.yaml",
    identity: "FLAME_CERT_FILE and FLAME_KEY_FILE, or --cert-file and --key-file",
};

/// The attempts of one call, each at the next node.
pub(super) struct Tries {
    nodes: Vec<Node>,
    at: usize,
    kind: Kind,
    backoff: Backoff,
    begun: Instant,
    /// A node has said itself that it cannot serve.
    has_spoken: bool,
    after_lost: bool,
    last: Trouble,
}

impl Tries {
    pub(super) fn new(nodes: Vec<Node>, kind: Kind) -> Self {
        Self {
            backoff: Backoff::new(nodes.len()),
            nodes,
            at: 0,
            kind,
            begun: Instant::now(),
            has_spoken: false,
            after_lost: false,
            last: Trouble::with("no node is known"),
        }
    }

    /// The node of this attempt.
    pub(super) fn node(&self) -> Result<&Node, FlameError> {
        self.nodes.get(self.at % self.nodes.len().max(1)).ok_or_else(|| self.gave_up())
    }

    /// These can be tried too.
    pub(super) fn add(&mut self, nodes: Vec<Node>) {
        for node in nodes {
            if !self.nodes.contains(&node) {
                self.nodes.push(node);
            }
        }
    }

    /// An attempt has failed. The error is the end of the call, otherwise another attempt may be made now.
    pub(super) async fn failed(&mut self, status: Status) -> Result<(), FlameError> {
        let of_server = status.source().is_none();
        let trouble = match Fate::of(status) {
            Fate::Answered(status) => return Err(refused(&status)),
            Fate::Lost(why) => {
                self.after_lost |= self.kind != Kind::Read;
                Trouble::with(why)
            }
            Fate::NotDone(trouble) => {
                self.has_spoken |= of_server;
                trouble
            }
        };
        tracing::debug!(node = ?self.node().map(Node::authority), why = trouble.why, "attempt failed");
        let wait = self.backoff.wait_after(&trouble);
        self.last = trouble;
        self.at += 1;
        let limit = if self.has_spoken { UNABLE_MAX } else { NOT_THERE_MAX };
        if self.after_lost && self.kind == Kind::Once || self.begun.elapsed() + wait > limit {
            return Err(self.gave_up());
        }
        sleep(wait).await;
        Ok(())
    }

    fn gave_up(&self) -> FlameError {
        let Trouble { why, is_busy, misfit, .. } = &self.last;
        if self.after_lost {
            let text = format!("the answer of the object cache was lost ({why}); the change may have been done or not");
            return FlameError::UnknownOutcome(text);
        }
        let nodes: Vec<&str> = self.nodes.iter().map(Node::authority).collect();
        let nodes = nodes.join(", ");
        match misfit {
            Some(misfit) => FlameError::Untrusted(format!("object cache at {nodes}: {}", misfit.explain(SETTINGS))),
            None if *is_busy => {
                FlameError::Overloaded(format!("the object cache at {nodes} has too much to do: {why}"))
            }
            None => FlameError::Unavailable(format!("no object cache answered at {nodes}: {why}")),
        }
    }
}

/// A node that says nothing for too long has lost the call.
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    within_for(0, answer).await
}

/// The same where so many bytes go to the node before it answers.
pub(super) async fn within_for<T>(bytes: u64, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let limit = SILENT_MAX + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
    let silent = || Status::deadline_exceeded(format!("nothing within {} s", limit.as_secs()));
    timeout(limit, answer).await.unwrap_or_else(|_| Err(silent()))
}

/// ABORTED says here that the object has another version than the caller has said.
fn refused(status: &Status) -> FlameError {
    match status.code() {
        Code::Aborted => FlameError::FailedPrecondition(status.message().to_owned()),
        _ => FlameError::from_answer(status),
    }
}
