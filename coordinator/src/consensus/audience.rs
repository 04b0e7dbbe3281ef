//! On which nodes somebody waits to hear what is committed.
//!
//! A leader tells every follower how far the log is committed as soon as it knows: with the next entries, or, when there
//! are none, in a frame that carries nothing else. That frame is for the clients of that node, who wait for what they
//! asked for. A node without clients can learn it with the next entries. So nodes say in their answers whether anybody
//! is there, and the frame to one without an audience is held back for a moment, in which it mostly becomes needless.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_storage::TypeConfig;
use futures::stream::{self, Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tokio::time::Instant;

/// How long a node without an audience may be left behind.
const HELD_MAX: Duration = Duration::from_millis(20);

/// The clients of this node.
#[derive(Clone, Debug, Default)]
pub struct Audience(Arc<AtomicUsize>);

impl Audience {
    /// Somebody came; counts until this is dropped.
    #[must_use]
    pub fn enter(&self) -> Seat {
        self.0.fetch_add(1, Ordering::Relaxed);
        Seat(self.clone())
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// One of the clients of this node.
#[derive(Debug)]
pub struct Seat(Audience);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the other nodes have said last. A peer has an entry here once it was a member: few.
#[derive(Default)]
pub(super) struct Audiences(Mutex<BTreeMap<u64, Elsewhere>>);

impl Audiences {
    pub(super) fn of(&self, peer: u64) -> Elsewhere {
        // Nothing that is done under the lock can fail halfway.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(peer).or_default().clone()
    }
}

/// Whether another node has an audience. Until it has said otherwise, it has.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere(Arc<AtomicBool>);

impl Default for Elsewhere {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Elsewhere {
    /// The node has said so.
    pub(super) fn heard(&self, is_there: bool) {
        self.0.store(is_there, Ordering::Relaxed);
    }

    fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a request only tells how far the log is committed.
pub(super) fn is_notice(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    request.entries.is_empty()
}

/// Requests for a node as they should go out. The first is never held: it asks what the node has.
pub(super) fn paced<S>(requests: S, audience: Elsewhere) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let pace = Pace { requests, audience, is_first: true };
    stream::unfold(pace, |mut pace| async move { pace.next().await.map(|request| (request, pace)) })
}

struct Pace<S> {
    requests: S,
    audience: Elsewhere,
    is_first: bool,
}

impl<S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin> Pace<S> {
    async fn next(&mut self) -> Option<AppendEntriesRequest<TypeConfig>> {
        let mut request = self.requests.next().await?;
        if std::mem::take(&mut self.is_first) {
            return Some(request);
        }
        let until = Instant::now() + HELD_MAX;
        while is_notice(&request) && !self.audience.is_there() {
            match tokio::time::timeout_at(until, self.requests.next()).await {
                // A later request says all that this one did.
                Ok(Some(later)) => request = later,
                Ok(None) | Err(_) => break,
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use flame_storage::{Entry, LogId, Vote};
    use futures::channel::mpsc;
    use openraft::EntryPayload;
    use openraft::alias::CommittedLeaderIdOf;

    use super::*;

    fn at(index: u64) -> LogId {
        LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(1), index)
    }

    /// Tells that the log is committed up to `committed`, with the entry behind it if it carries any.
    fn request(committed: u64, carries: bool) -> AppendEntriesRequest<TypeConfig> {
        let entry = Entry { log_id: at(committed + 1), payload: EntryPayload::Blank };
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: Some(at(committed)),
            entries: if carries { vec![entry] } else { Vec::new() },
            leader_commit: Some(at(committed)),
        }
    }

    fn committed(request: &AppendEntriesRequest<TypeConfig>) -> u64 {
        request.leader_commit.map_or(0, |log_id| log_id.index)
    }

    async fn sent(audience: bool, requests: Vec<AppendEntriesRequest<TypeConfig>>) -> Vec<(u64, bool)> {
        let elsewhere = Elsewhere::default();
        elsewhere.heard(audience);
        let sent: Vec<_> = paced(stream::iter(requests), elsewhere).collect().await;
        sent.iter().map(|request| (committed(request), !is_notice(request))).collect()
    }

    #[tokio::test]
    async fn a_node_with_an_audience_hears_everything_at_once() {
        let all = vec![request(1, true), request(2, false), request(3, true), request(4, false)];
        assert_eq!(sent(true, all).await, [(1, true), (2, false), (3, true), (4, false)]);
    }

    #[tokio::test]
    async fn a_node_without_hears_it_with_the_next_entries() {
        let all = vec![request(1, false), request(2, false), request(3, false), request(4, true), request(5, false)];
        assert_eq!(sent(false, all).await, [(1, false), (4, true), (5, false)]);
    }

    #[tokio::test]
    async fn it_is_told_even_if_no_entries_follow() {
        let elsewhere = Elsewhere::default();
        elsewhere.heard(false);
        let (sender, receiver) = mpsc::unbounded();
        let mut sent = std::pin::pin!(paced(receiver, elsewhere));
        sender.unbounded_send(request(1, false)).unwrap();
        assert_eq!(committed(&sent.next().await.unwrap()), 1);
        sender.unbounded_send(request(2, false)).unwrap();
        sender.unbounded_send(request(3, false)).unwrap();
        assert_eq!(committed(&sent.next().await.unwrap()), 3);
    }

    #[test]
    fn a_seat_is_free_again_when_its_client_has_gone() {
        let audience = Audience::default();
        let seats = [audience.enter(), audience.enter()];
        assert!(audience.is_there());
        drop(seats);
        assert!(!audience.is_there());
    }
}
