//! How the nodes of a cluster get to know each other's disks, and how one that has lost its disk hears of it.
//!
//! Raft alone makes only the leader and its followers meet. Two followers that never met could not tell, later on, that
//! one of them has another disk than the one on which it promised something. So every node asks all others how they
//! stand, from its start until it has met each of them.
//!
//! A node with an empty disk under a known id must end: it is refused for ever, and would look like one that is merely
//! slow. A healthy one must not end because somebody else is wrong. This is what suffices, all of it together:
//!
//! * this node holds nothing of the log, so that nothing is lost with it;
//! * a listed member, of this cluster, at its own address, and with the disk it has always had, says that it has met
//!   another store under this node's id;
//! * it *leads*, has committed in its term, and its log names this node a member. So a majority has elected it. A node
//!   that was set up wrongly, or was given an old disk, leads nobody.
//!
//! A node that is merely new, at the very beginning or later, has no store under its id that anybody could have met.
//! Whoever has nothing of the log is not written down by this: it may be given another disk before it takes part.
//!
//! **Invariant:** without the word of a leader a node only complains in its log, and goes on asking.

use std::time::Duration;

use flame_storage::{Cause, Fatal, MemberNode};
use flame_types::CoordinatorId;

use super::bootstrap::BootstrapService;
use super::error::BootstrapError;
use super::gate::{Refused, Remember};

/// Between two rounds of questions, at first and at most. Peers that are away are asked as long as this node runs.
const ROUND_WAIT_MIN: Duration = Duration::from_millis(50);
const ROUND_WAIT_MAX: Duration = Duration::from_secs(5);

/// Asks until every listed member was met, or the leader says that this disk is not this node's.
pub(super) async fn run(service: BootstrapService, fatal: Fatal) {
    let mut wait = ROUND_WAIT_MIN;
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(ROUND_WAIT_MAX);
        // While it may have to begin the cluster it asks the same question for that, and stops for less.
        if service.is_first() && !service.holds_log() {
            continue;
        }
        let answers = futures::future::join_all(service.others().map(|(id, node)| meet(&service, *id, node))).await;
        if let Some(replaced) = answers.into_iter().flatten().next()
            && !service.holds_log()
        {
            let remedy = "start it with the disk it had, or let it join under a new id";
            return fatal.raise_as(Cause::Replaced(format!("{replaced}; {remedy}")));
        }
        if service.holds_log() && service.others().all(|(id, _)| service.gate.has_met(*id)) {
            return;
        }
    }
}

/// Asks one. Gives what it says against this node's disk, if that comes from the leader.
async fn meet(service: &BootstrapService, peer: CoordinatorId, node: &MemberNode) -> Option<Refused> {
    let reply = match service.ask(peer, node).await {
        Ok(reply) => reply?,
        Err(BootstrapError::Refused { reason, .. }) => {
            service.gate.unwelcome_at(peer, reason);
            return None;
        }
        Err(_) => return None,
    };
    // A release that does not introduce itself cannot be met like this.
    let header = reply.header.as_ref()?;
    let remember = Remember::if_both(service.holds_log(), reply.holds_log);
    service.gate.confirm_as(peer, Some(header), remember).ok()?;
    let refused = service.gate.check_recognised(peer, header).err()?;
    service.gate.unwelcome_at(peer, refused.to_string());
    reply.leads.then_some(refused)
}
