//! Calls about the cluster itself, and those of ours that the published protocol lacks.

use std::time::Duration;

use flame_proto::ha;
use flame_types::{CoordinatorId, TaskNo};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::connection::cluster;
use crate::model::{Member, MemberStatus, Members, StateDigest};
use crate::repeats::Kind;
use crate::{Connection, FlameError};

/// Most times a leader is looked for that then turns out to lead no longer.
const TRANSFER_TRIES_MAX: u32 = 5;

/// Between two questions about who leads.
const LEADER_INTERVAL: Duration = Duration::from_millis(100);

/// How long one member may take to speak of itself: a dead one must not hold up the others' answers.
const MEMBER_DEADLINE: Duration = Duration::from_secs(3);

/// One coordinator and what it says of itself.
#[derive(Clone, Debug)]
pub struct MemberReport<T> {
    /// Which one, as the cluster lists it.
    pub member: Member,
    /// Its own answer, or why there is none.
    pub answer: Result<T, FlameError>,
}

impl Connection {
    /// Who the members are and who leads, as the node that answers knows it.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let members = connection.members().await?;
    /// println!("{} coordinators, led by {:?}", members.members.len(), members.leader);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when nobody answers.
    pub async fn members(&self) -> Result<Members, FlameError> {
        let reply =
            self.call(Kind::Read, |channel| async move { cluster(channel).members(ha::MembersRequest {}).await }).await;
        let members = reply?.into();
        self.hear_of(&members);
        Ok(members)
    }

    /// Every member's own word on itself; all are asked at the same time. Who is not that member is not believed.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let members = connection.members().await?;
    /// for report in connection.member_statuses(&members).await {
    ///     println!("coordinator {}: {:?}", report.member.id, report.answer);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn member_statuses(&self, members: &Members) -> Vec<MemberReport<MemberStatus>> {
        self.ask_each(members, |node| async move { node.member_status().await }).await
    }

    /// Every member's digest of its replicated state.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let members = connection.members().await?;
    /// for report in connection.state_digests(&members).await {
    ///     println!("coordinator {}: {:?}", report.member.id, report.answer);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn state_digests(&self, members: &Members) -> Vec<MemberReport<StateDigest>> {
        self.ask_each(members, |node| async move { node.state_digest().await }).await
    }

    /// What the node this connection talks to says of itself.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// println!("{:?}", connection.member_status().await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when it does not answer.
    pub async fn member_status(&self) -> Result<MemberStatus, FlameError> {
        let reply = self
            .call(Kind::Read, |channel| async move { cluster(channel).member_status(ha::MemberStatusRequest {}).await })
            .await;
        Ok(reply?.into())
    }

    /// The digest of the replicated state of the node this connection talks to.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// println!("{:?}", connection.state_digest().await?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when it does not answer.
    pub async fn state_digest(&self) -> Result<StateDigest, FlameError> {
        let reply = self
            .call(Kind::Read, |channel| async move { cluster(channel).state_digest(ha::StateDigestRequest {}).await })
            .await;
        Ok(reply?.into())
    }

    /// Hands leadership to `to`, or to the member that is furthest; returns who leads then. Only the leader can do so:
    /// it is looked for and asked itself.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// let connection = flame_sdk::connect().await?;
    /// let leader = connection.transfer_leader(None).await?;
    /// println!("coordinator {leader} leads now");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`] when there is no such member; [`FlameError::FailedPrecondition`] when it cannot lead;
    /// [`FlameError::UnknownOutcome`] when the answer was lost.
    pub async fn transfer_leader(&self, to: Option<CoordinatorId>) -> Result<CoordinatorId, FlameError> {
        let mut refused = None;
        for _ in 0..TRANSFER_TRIES_MAX {
            let members = self.members_with_leader().await?;
            let find = |id: u64| members.members.iter().find(|member| member.id == id);
            if let Some(to) = to.filter(|to| find(to.0).is_none()) {
                return Err(FlameError::NotFound(format!("coordinator {to} not found")));
            }
            let Some(leader) = members.leader.and_then(find) else { continue };
            if to == Some(CoordinatorId(leader.id)) {
                return Ok(CoordinatorId(leader.id));
            }
            match self.to_node(&leader.client_endpoint, self.options().deadline)?.ask_transfer(to).await {
                Err(FlameError::FailedPrecondition(why)) => {
                    // It may have lost the lead since it was named. If it has not, it means what it says.
                    if self.members().await?.leader == Some(leader.id) {
                        return Err(FlameError::FailedPrecondition(why));
                    }
                    refused = Some(why);
                }
                result => return result,
            }
        }
        Err(FlameError::Unavailable(refused.unwrap_or_else(|| "the leader changes all the time".to_owned())))
    }

    async fn ask_transfer(&self, to: Option<CoordinatorId>) -> Result<CoordinatorId, FlameError> {
        let request = ha::TransferLeaderRequest { to: to.map_or(0, |id| id.0) };
        // To a named member, asking twice ends as asking once; to anybody, it would hand on a second time.
        let kind = if to.is_some() { Kind::Idempotent } else { Kind::Once };
        let reply = self.call(kind, |channel| async move { cluster(channel).transfer_leader(request).await }).await;
        Ok(CoordinatorId(reply?.leader))
    }

    /// The members, once one of them knows who leads.
    pub(crate) async fn members_with_leader(&self) -> Result<Members, FlameError> {
        let found = timeout(self.options().deadline, async {
            loop {
                let members = self.members().await?;
                if members.leader.is_some() {
                    return Ok(members);
                }
                // Another node may know more.
                self.leave(self.channel().0);
                sleep(LEADER_INTERVAL).await;
            }
        });
        found.await.map_err(|_| FlameError::Unavailable("no coordinator knows who leads".to_owned()))?
    }

    /// Ends one task. A running one is cancelled at once; what its service still answers is refused.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// connection.suspend_session(session.id()).await?;
    /// let task = connection.create_task(session.id(), None).await?.number()?;
    /// connection.cancel_task(session.id(), task).await?;
    /// # session.close().await?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`]; [`FlameError::FailedPrecondition`] when it has ended already.
    pub async fn cancel_task(&self, session: &str, task: TaskNo) -> Result<(), FlameError> {
        let request = ha::CancelTaskRequest { session_id: session.to_owned(), task_id: task.to_string() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { cluster(channel).cancel_task(request).await }
            })
            .await;
        reply.map(|_| ())
    }

    /// Ends a session although tasks run: they are cancelled.
    ///
    /// ```
    /// # flame_sdk::__private::example(async {
    /// let connection = flame_sdk::connect().await?;
    /// let session = connection.create_session_with("echo-rust").await?;
    /// let task = session.invoke::<_, String>("hello").await?;
    /// connection.force_close_session(session.id()).await?;
    /// // It was quicker, or it was cancelled.
    /// println!("{:?}", task.await);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`FlameError::NotFound`].
    pub async fn force_close_session(&self, id: &str) -> Result<(), FlameError> {
        let request = ha::ForceCloseSessionRequest { session_id: id.to_owned() };
        let reply = self
            .change(|channel, mark| {
                let request = mark.attach(request.clone());
                async move { cluster(channel).force_close_session(request).await }
            })
            .await;
        reply.map(|_| ())
    }

    async fn ask_each<T, F>(&self, members: &Members, ask: impl Fn(Connection) -> F) -> Vec<MemberReport<T>>
    where
        F: Future<Output = Result<T, FlameError>>,
    {
        let deadline = MEMBER_DEADLINE.min(self.options().deadline);
        let ask = &ask;
        let reports = members.members.iter().map(|member| async move {
            let answer = async {
                let node = self.one_try_at(&member.client_endpoint, deadline)?;
                check_identity(&node.members().await?, &members.cluster_id, member.id)?;
                ask(node).await
            };
            MemberReport { member: member.clone(), answer: answer.await }
        });
        join_all(reports).await
    }
}

/// Somebody else may sit at a member's address by now; its word is not that of the member.
fn check_identity(answer: &Members, cluster_id: &str, id: u64) -> Result<(), FlameError> {
    if answer.cluster_id != cluster_id {
        let why = format!("a coordinator of cluster {:?} answers at its address", answer.cluster_id);
        return Err(FlameError::FailedPrecondition(why));
    }
    if answer.answered_by != id {
        let why = format!("coordinator {} answers at its address", answer.answered_by);
        return Err(FlameError::FailedPrecondition(why));
    }
    Ok(())
}
