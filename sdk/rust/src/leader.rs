//! Which coordinator the streams of a client go to: the leader, if it is among those that can be turned to. Whoever names
//! the leader names all members, so coordinators that were added since are heard of here.
//!
//! Every coordinator serves every client. What is sent to the leader itself only takes one way less, there and back.

use std::time::Duration;

use flame_proto::ha;
use tokio::time::timeout;

use crate::Connection;
use crate::connection::cluster;
use crate::model::Members;

/// How long the question may hold up the first stream. Who does not answer by then will be noticed by the stream itself.
const LIMIT: Duration = Duration::from_secs(1);

impl Connection {
    /// Makes the leader the coordinator of this client. It is looked for until it was found, and again after a coordinator
    /// was left. Without an answer, or with a leader that cannot be turned to, everything stays as it is.
    pub(crate) async fn turn_to_leader(&self) {
        if !self.may_learn() || self.knows_leader() {
            return;
        }
        let (at, channel) = self.channel();
        let answer = timeout(LIMIT.min(self.options().attempt_timeout), async move {
            cluster(channel).members(ha::MembersRequest {}).await
        });
        let Ok(Ok(members)) = answer.await else { return };
        let members = Members::from(members.into_inner());
        self.hear_of(&members);
        let Some(leader) = members.members.iter().find(|member| Some(member.id) == members.leader) else { return };
        let Ok(leader) = self.endpoints().single(&leader.client_endpoint) else { return };
        self.found_leader(at, self.place_of(&leader.urls()[0]));
    }
}
