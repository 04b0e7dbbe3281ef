//! The coordinators themselves.

use flame_proto::ha;
use serde::Serialize;

/// Who the members are and who leads, as one of them knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Members {
    /// Which cluster this is.
    pub cluster_id: String,
    /// Every coordinator of it.
    pub members: Vec<Member>,
    /// Who leads, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// Who answered.
    #[serde(rename = "self")]
    pub answered_by: u64,
    /// The Raft term.
    pub term: u64,
    /// Whether a change of the voters is under way: until it is done the old and the new ones must agree.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changing: bool,
}

/// What a change of the members does to the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MembershipPlan {
    /// Who votes now.
    pub voters_before: Vec<u64>,
    /// Who will vote.
    pub voters_after: Vec<u64>,
    /// Who only receives the log now.
    pub learners_before: Vec<u64>,
    /// Who will only receive it.
    pub learners_after: Vec<u64>,
    /// Of whom the leader has heard just now, itself included.
    pub answering: Vec<u64>,
    /// How many voters can be lost now.
    pub can_lose_before: u32,
    /// How many can be lost then.
    pub can_lose_after: u32,
    /// There is nothing to do.
    pub already: bool,
    /// Why it is not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Whether it could be forced.
    pub force_helps: bool,
    /// By how many entries the learner in question is behind the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// It votes only when it is not further behind than this.
    pub behind_max: u64,
    /// What to know before doing it.
    pub notes: Vec<String>,
}

/// A change of the members, made or planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MembershipChange {
    /// What it does, or has done.
    pub plan: MembershipPlan,
    /// Whether anything was changed.
    pub changed: bool,
}

/// One coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Where clients reach it.
    pub client_endpoint: String,
    /// Where workers reach it.
    pub worker_endpoint: String,
    /// Where other coordinators reach it.
    pub peer_endpoint: String,
    /// Whether it votes.
    pub voter: bool,
}

/// What one coordinator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// Its number.
    pub id: u64,
    /// leader, follower, candidate, learner or stopped.
    pub role: String,
    /// Its Raft term.
    pub term: u64,
    /// Who leads, if it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<u64>,
    /// The last entry of its log.
    pub last_log: u64,
    /// The last entry it knows to be committed.
    pub committed: u64,
    /// The last entry it has applied.
    pub applied: u64,
    /// Its version.
    pub version: String,
    /// The feature level that the cluster runs at, as far as it has applied the log.
    pub feature_level: u32,
    /// The lowest that its build understands.
    pub feature_level_min: u32,
    /// The highest.
    pub feature_level_max: u32,
    /// What its data takes.
    pub disk_bytes: u64,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// Whether it serves clients.
    pub ready: bool,
    /// If not, why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_ready_reason: String,
    /// Milliseconds during which the cluster had a leader.
    pub cluster_time_ms: u64,
    /// Workers attached to it (only to the leader).
    pub workers_attached: u32,
    /// Finished tasks that are kept in open sessions.
    pub kept_tasks: u64,
    /// What open sessions keep, in bytes: inputs, outputs, messages.
    pub kept_bytes: u64,
    /// Closed sessions that are remembered.
    pub closed_sessions: u64,
    /// What they keep, in bytes.
    pub closed_bytes: u64,
    /// At so many bytes of both together submits are refused.
    pub kept_bytes_max: u64,
    /// Rows up to this entry are on disk whatever happens; the log has the others.
    pub flushed: u64,
    /// What is free of the file system of its data directory, if that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// With less than this free it is short of disk.
    pub disk_floor_bytes: u64,
    /// The size of that file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
}

/// The replicated state of one coordinator in short: equal positions must have equal digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateDigest {
    /// The last entry it has applied.
    pub applied: u64,
    /// Hash over the state after that entry.
    pub digest: String,
}

fn known(leader: u64) -> Option<u64> {
    (leader != 0).then_some(leader)
}

impl From<ha::MembersReply> for Members {
    fn from(reply: ha::MembersReply) -> Self {
        Self {
            cluster_id: reply.cluster_id,
            members: reply.members.into_iter().map(Member::from).collect(),
            leader: known(reply.leader),
            answered_by: reply.self_,
            term: reply.term,
            changing: reply.changing,
        }
    }
}

impl From<ha::MembershipPlan> for MembershipPlan {
    fn from(plan: ha::MembershipPlan) -> Self {
        Self {
            voters_before: plan.voters_before,
            voters_after: plan.voters_after,
            learners_before: plan.learners_before,
            learners_after: plan.learners_after,
            answering: plan.answering,
            can_lose_before: plan.can_lose_before,
            can_lose_after: plan.can_lose_after,
            already: plan.already,
            refusal: Some(plan.refusal).filter(|refusal| !refusal.is_empty()),
            force_helps: plan.force_helps,
            behind: plan.behind,
            behind_max: plan.behind_max,
            notes: plan.notes,
        }
    }
}

impl From<ha::Member> for Member {
    fn from(member: ha::Member) -> Self {
        Self {
            id: member.id,
            client_endpoint: member.client_endpoint,
            worker_endpoint: member.worker_endpoint,
            peer_endpoint: member.peer_endpoint,
            voter: member.voter,
        }
    }
}

impl From<ha::MemberStatusReply> for MemberStatus {
    fn from(reply: ha::MemberStatusReply) -> Self {
        Self {
            id: reply.id,
            role: reply.role,
            term: reply.term,
            leader: known(reply.leader),
            last_log: reply.last_log,
            committed: reply.committed,
            applied: reply.applied,
            version: reply.version,
            feature_level: reply.feature_level,
            feature_level_min: reply.feature_level_min,
            feature_level_max: reply.feature_level_max,
            disk_bytes: reply.disk_bytes,
            uptime_seconds: reply.uptime_seconds,
            ready: reply.ready,
            not_ready_reason: reply.not_ready_reason,
            cluster_time_ms: reply.cluster_time_ms,
            workers_attached: reply.workers_attached,
            kept_tasks: reply.kept_tasks,
            kept_bytes: reply.kept_bytes,
            closed_sessions: reply.closed_sessions,
            closed_bytes: reply.closed_bytes,
            kept_bytes_max: reply.kept_bytes_max,
            flushed: reply.flushed,
            disk_free_bytes: reply.disk_free_bytes,
            disk_floor_bytes: reply.disk_floor_bytes,
            disk_total_bytes: reply.disk_total_bytes,
        }
    }
}

impl From<ha::StateDigestReply> for StateDigest {
    fn from(reply: ha::StateDigestReply) -> Self {
        Self { applied: reply.applied, digest: reply.digest }
    }
}
