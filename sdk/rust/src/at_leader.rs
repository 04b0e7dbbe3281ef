//! Calls that only the leader carries out, and that may be asked for again: it is looked for and asked itself, and again
//! whoever leads next when it does not answer any more.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// How long one leader may take before the next one is looked for.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);

/// Before the leader is looked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// A reply of a node that may not lead.
pub(crate) trait OfLeader {
    /// Nothing was done: somebody else leads.
    fn is_elsewhere(&self) -> bool;
}

impl Connection {
    /// Asks whoever leads until one that does has answered. Asked for twice, it must be done once.
    pub(crate) async fn ask_leader<R, F, A>(&self, ask: A) -> Result<R, FlameError>
    where
        R: OfLeader,
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let until = Instant::now() + self.options().deadline;
        loop {
            let why = match self.ask_whoever_leads(&ask).await? {
                Ok(reply) => return Ok(reply),
                Err(why) => why,
            };
            if Instant::now() + PAUSE >= until {
                return Err(FlameError::Unavailable(why));
            }
            sleep(PAUSE).await;
        }
    }

    /// The inner error says why another leader should be asked.
    async fn ask_whoever_leads<R, F, A>(&self, ask: &A) -> Result<Result<R, String>, FlameError>
    where
        R: OfLeader,
        A: Fn(Channel) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let members = self.members_with_leader().await?;
        let leader = members.members.iter().find(|member| Some(member.id) == members.leader);
        let Some(leader) = leader else { return Ok(Err("the leader is no member".to_owned())) };
        let node = self.one_try_at(&leader.client_endpoint, ATTEMPT_MAX.min(self.options().deadline))?;
        match node.call(Kind::Idempotent, ask).await {
            Ok(reply) if reply.is_elsewhere() => {
                self.leave(self.channel().0);
                Ok(Err(format!("coordinator {} does not lead any more", leader.id)))
            }
            Ok(reply) => Ok(Ok(reply)),
            // Whatever became of it: asked for again, it is done once.
            Err(FlameError::Unavailable(why) | FlameError::UnknownOutcome(why)) => {
                self.leave(self.channel().0);
                Ok(Err(why))
            }
            Err(refused) => Err(refused),
        }
    }
}
