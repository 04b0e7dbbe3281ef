//! Asking every member which feature levels its build understands: now, and each one, since one that was heard of a moment
//! ago may have been put back to an older build.
//!
//! **Invariant:** only the member that was asked is believed, with the disk that is known as its own.

use std::time::Duration;

use flame_machine::Levels;
use flame_storage::MemberNode;
use flame_types::CoordinatorId;

use super::error::Stopped;
use super::gate::Remember;
use super::handle::Consensus;
use super::level::levels_of;

/// A member must answer in this time.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Between two questions meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// One member, voter or learner, and what its build understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLevels {
    /// Which one.
    pub id: CoordinatorId,
    /// Whether it votes.
    pub voter: bool,
    /// What it understands, or why it does not say.
    pub levels: Result<Levels, String>,
}

impl Consensus {
    /// Asks all members at the same time, by the order of their ids. Costs up to two seconds while one is away.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn member_levels(&self) -> Result<Vec<MemberLevels>, Stopped> {
        let asked = self.members().into_iter().map(|(id, node, voter)| {
            let consensus = self.clone();
            // Where connections to peers live.
            let asked = self.runtime().spawn(async move { consensus.levels_at(id, &node).await });
            async move { Ok(MemberLevels { id, voter, levels: asked.await.map_err(|_ended| Stopped)? }) }
        });
        futures::future::try_join_all(asked).await
    }

    async fn levels_at(&self, id: CoordinatorId, node: &MemberNode) -> Result<Levels, String> {
        if id == self.inner.gate.id() {
            return Ok(Levels::OWN);
        }
        let until = tokio::time::Instant::now() + ANSWER_MAX;
        loop {
            let why = match self.inner.bootstrap_service.ask(id, node).await {
                Ok(Some(reply)) => match &reply.header {
                    Some(header) => {
                        let confirmed = self.inner.gate.confirm_as(id, Some(header), Remember::Never);
                        return confirmed.map(|()| levels_of(header)).map_err(|refused| refused.to_string());
                    }
                    None => "it does not introduce itself".to_owned(),
                },
                Ok(None) => format!("nobody answers at {}", node.peer),
                Err(error) => error.to_string(),
            };
            if tokio::time::Instant::now() >= until {
                return Err(why);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}
