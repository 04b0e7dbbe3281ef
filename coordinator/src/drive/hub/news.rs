//! The Follow call: a worker is told who leads, by a node that does not, at the moment that node learns of it.
//!
//! Such a call costs nothing while nothing happens, and it saves a worker that has lost its leader from asking around.
//! What it says may be old, on a node that is cut off; the term tells.

use std::pin::Pin;

use flame_proto::ha;
use flame_proto::ha::leader_news_server::{LeaderNews, LeaderNewsServer};
use flame_types::{CoordinatorId, Term};
use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::Hub;
use crate::consensus::Leadership;

/// Tells workers who leads.
pub struct News {
    hub: Hub,
    /// Ends all calls.
    stop: CancellationToken,
}

impl Hub {
    /// The service that tells who leads, for the worker listener. Its calls have no end of their own: `stop` ends them.
    #[must_use]
    pub fn news_server(&self, stop: CancellationToken) -> LeaderNewsServer<News> {
        LeaderNewsServer::new(News { hub: self.clone(), stop })
    }
}

#[tonic::async_trait]
impl LeaderNews for News {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<ha::Leading, Status>> + Send>>;

    async fn follow(&self, request: Request<ha::FollowLeader>) -> Result<Response<Self::FollowStream>, Status> {
        let (asked, own) = (request.into_inner().cluster_id, &self.hub.inner.cluster_id);
        if !asked.is_empty() && asked != *own {
            return Err(Status::failed_precondition(format!("this is cluster {own:?}, not {asked:?}")));
        }
        let hub = self.hub.clone();
        let leading = leaders(hub.inner.consensus.leadership()).filter_map(move |(term, leader)| {
            // A leader without an address has left the members meanwhile: another one follows.
            let leader = hub.worker_endpoint(leader);
            async move { leader.map(|leader| Ok(ha::Leading { term: term.0, leader })) }
        });
        Ok(Response::new(Box::pin(leading.take_until(self.stop.clone().cancelled_owned()))))
    }
}

/// Each leader in its term, once: the present one, if there is one, and then every new one.
fn leaders(leadership: watch::Receiver<Leadership>) -> impl Stream<Item = (Term, CoordinatorId)> + Send {
    stream::unfold((leadership, None), |(mut leadership, told)| async move {
        let new = |now: &Leadership| now.leader.is_some() && told != now.leader.map(|leader| (now.term, leader));
        // The sender goes when the node stops.
        let now = *leadership.wait_for(new).await.ok()?;
        let leading = (now.term, now.leader?);
        Some((leading, (leadership, Some(leading))))
    })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn leadership(term: u64, leader: Option<u64>, is_self: bool) -> Leadership {
        Leadership { term: Term(term), leader: leader.map(CoordinatorId), is_self }
    }

    #[test]
    fn every_leader_is_told_once_and_the_present_one_first() {
        let (now, watched) = watch::channel(leadership(3, Some(1), false));
        let mut leaders = Box::pin(leaders(watched));
        let mut next = || leaders.next().now_or_never();
        assert_eq!(next(), Some(Some((Term(3), CoordinatorId(1)))));
        now.send_replace(leadership(3, None, false));
        now.send_replace(leadership(4, None, false));
        assert_eq!(next(), None, "nobody leads");
        now.send_replace(leadership(3, Some(1), false));
        assert_eq!(next(), None, "it is told already");
        now.send_replace(leadership(4, Some(2), true));
        assert_eq!(next(), Some(Some((Term(4), CoordinatorId(2)))));
        now.send_replace(leadership(5, Some(2), true));
        assert_eq!(next(), Some(Some((Term(5), CoordinatorId(2)))), "the same one, in a later term");
        drop(now);
        assert_eq!(next(), Some(None), "the node stops");
    }
}
