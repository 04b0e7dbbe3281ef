//! Who leads, as this node sees it.

use flame_metrics::Counter;
use flame_storage::TypeConfig;
use flame_types::{CoordinatorId, Term};
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::{RaftDataMetrics, RaftServerMetrics};
use tokio::sync::watch;

use super::RaftHandle;

/// Who leads in which term, as this node sees it. Another node may already know better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term.
    pub term: Term,
    /// Its leader; `None` while there is none or it is not known.
    pub leader: Option<CoordinatorId>,
    /// Whether this node leads and has committed an entry of this term: only then does it take proposals. What it
    /// proposes can still fail: another leader may have been elected.
    pub is_self: bool,
}

type Server = RaftServerMetrics<TypeConfig>;
type Data = RaftDataMetrics<TypeConfig>;

/// Reads the leadership out of what Raft reports. The reported leader may be newer than the reported vote (the vote
/// is shown when it is durable), so a leader counts only together with the vote that made it one.
fn read(server: &Server, data: &Data) -> Leadership {
    let candidate = server.vote.leader_id.voted_for;
    let term = server.vote.leader_id.term;
    let agreed = server.vote.committed && server.current_leader == Some(candidate);
    let leads = agreed && candidate == server.id && server.state.is_leader();
    let committed = data.local_committed.is_some_and(|log_id| log_id.leader_id.term == term);
    Leadership {
        term: Term(term),
        leader: (agreed && (committed || !leads)).then_some(CoordinatorId(candidate)),
        is_self: leads && committed,
    }
}

/// Follows Raft until it stops; then nobody leads here any more.
pub(super) async fn follow(raft: RaftHandle, leadership: watch::Sender<Leadership>, changes: Counter) {
    let (mut server, mut data) = (raft.server_metrics(), raft.data_metrics());
    let mut last_led = None;
    loop {
        let now = read(&server.borrow_and_update(), &data.borrow_and_update());
        leadership.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                tracing::info!(term = now.term.0, leader = ?now.leader, is_self = now.is_self, "leadership");
                *known = now;
            }
            changed
        });
        // A term has one leader, however often this node loses sight of it.
        if now.leader.is_some() && last_led != Some(now.term) {
            last_led = Some(now.term);
            changes.increment(1);
        }
        // The state of the log changes all the time; it matters only to a leader that has not committed yet.
        let may_begin = now.leader.is_none();
        let ended = tokio::select! {
            changed = server.changed() => changed.is_err(),
            changed = data.changed(), if may_begin => changed.is_err(),
        };
        if ended {
            break;
        }
    }
    leadership.send_modify(|known| {
        known.leader = None;
        known.is_self = false;
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flame_storage::{LogId, Vote};
    use openraft::ServerState;
    use openraft::alias::CommittedLeaderIdOf;

    use super::*;

    fn server(vote: Vote, leader: Option<u64>, state: ServerState) -> Server {
        Server {
            id: 1,
            vote,
            state,
            current_leader: leader,
            membership_config: Arc::default(),
            committed_membership_config: Arc::default(),
        }
    }

    fn committed_in(term: u64) -> Data {
        let log_id = LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(term), 7);
        Data { local_committed: Some(log_id), ..Data::default() }
    }

    fn leadership(term: u64, leader: Option<u64>, is_self: bool) -> Leadership {
        Leadership { term: Term(term), leader: leader.map(CoordinatorId), is_self }
    }

    #[test]
    fn a_leader_counts_only_with_its_vote() {
        let following = server(Vote::new_committed(5, 2), Some(2), ServerState::Follower);
        assert_eq!(read(&following, &committed_in(4)), leadership(5, Some(2), false));
        let older_vote = server(Vote::new_committed(4, 2), Some(1), ServerState::Leader);
        assert_eq!(read(&older_vote, &committed_in(4)), leadership(4, None, false));
        let candidate = server(Vote::new(6, 1), None, ServerState::Candidate);
        assert_eq!(read(&candidate, &committed_in(5)), leadership(6, None, false));
    }

    #[test]
    fn this_node_leads_once_it_has_committed_in_its_term() {
        let leading = server(Vote::new_committed(5, 1), Some(1), ServerState::Leader);
        assert_eq!(read(&leading, &committed_in(4)), leadership(5, None, false));
        assert_eq!(read(&leading, &committed_in(5)), leadership(5, Some(1), true));
    }
}
