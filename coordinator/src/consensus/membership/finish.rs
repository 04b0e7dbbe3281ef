//! A change of the voters takes two entries: the joint membership, and the new one alone. A leader that dies in between, or
//! loses the lead, leaves the joint one behind. The library leaves it at that; here the next leader ends it.

use std::collections::BTreeSet;
use std::time::Duration;

use flame_storage::LogId;
use flame_types::Term;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use super::Turn;
use super::change::preconditions;
use crate::consensus::RaftHandle;
use crate::consensus::leadership::Leadership;

/// The majority of both memberships must agree in this time, or it is tried again.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Ends joint memberships while this node leads.
pub(in crate::consensus) struct Finisher {
    pub(in crate::consensus) raft: RaftHandle,
    pub(in crate::consensus) leadership: watch::Receiver<Leadership>,
    pub(in crate::consensus) turn: Turn,
}

impl Finisher {
    /// Runs until Raft stops.
    pub(in crate::consensus) async fn run(mut self) {
        let mut members = self.raft.server_metrics();
        loop {
            let leadership = *self.leadership.borrow_and_update();
            let joint = {
                let seen = members.borrow_and_update();
                let joint = seen.membership_config.get_joint_config().len() > 1;
                joint.then(|| *seen.membership_config.log_id())
            };
            if let Some(at) = joint.filter(|_| leadership.is_self) {
                self.end(leadership.term, at).await;
                continue;
            }
            let ended = tokio::select! {
                changed = self.leadership.changed() => changed.is_err(),
                changed = members.changed() => changed.is_err(),
            };
            if ended {
                return;
            }
        }
    }

    /// Whoever has begun a change here ends it; this waits for that, and looks again.
    async fn end(&self, term: Term, at: Option<LogId>) {
        if let Ok(_turn) = self.turn.try_lock() {
            finish(&self.raft, term, at).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends the joint membership of that entry, if this node leads in that term and it is still the last. Whoever lost its vote
/// goes.
pub(super) async fn finish(raft: &RaftHandle, term: Term, at: Option<LogId>) {
    let nothing_new = ChangeMembers::AddVoterIds(BTreeSet::new());
    let written = raft.change_membership_if(nothing_new, false, preconditions(term, at));
    match tokio::time::timeout(WRITE_MAX, written).await {
        Ok(Ok(_)) => tracing::info!("a change of the members that was cut short is finished"),
        Ok(Err(error)) => tracing::debug!(%error, "a joint membership is not finished yet"),
        Err(_elapsed) => tracing::warn!("a joint membership waits for the majority of both its halves"),
    }
}
