//! How the nodes of a cluster get to know each other's disks, and how one that must not go on hears of it.
//!
//! Raft alone makes only the leader and its followers meet. So every node asks all others how they stand: quickly from its
//! start until it has met each of them, then now and then, and at once when one of them refuses it.
//!
//! A node that the others refuse for ever must end: it would look like one that is merely slow. A healthy one must not end
//! because somebody else is wrong. Whoever answers must be of this cluster, the member that was asked, and have the disk
//! that is known as that member's. Then this is believed:
//!
//! | its log says of this node | what this node does |
//! |---|---|
//! | it was removed | ends: the ids of members are given out once, so this stays so |
//! | it holds less than it held before | ends: its disk is an old copy, and must not vote |
//! | its disk is another one | ends, if it holds nothing of the log: nothing is lost with it |
//! | the cluster runs at a feature level that its build does not understand | ends: levels never fall |
//!
//! A member without a word of its log may only know another disk by having met it. That is believed of the *leader* alone,
//! who was elected by a majority: it leads, has committed in its term, and its log names this node a member.
//!
//! A node that is merely new, at the very beginning or later, has no store under its id that anybody could have met.
//! Whoever has nothing of the log is not written down by this: it may be given another disk before it takes part.
//!
//! **Invariant:** without such a word a node only complains in its log, and goes on asking.

use std::time::Duration;

use flame_proto::ha::{ProbeReply, Standing};
use flame_storage::{Cause, Fatal, MemberNode};
use flame_types::CoordinatorId;

use super::bootstrap::BootstrapService;
use super::error::BootstrapError;
use super::gate::{Refused, Remember};
use super::level::outdated;

/// Between two rounds of questions, at first and at most. Peers that are away are asked as long as this node runs.
const ROUND_WAIT_MIN: Duration = Duration::from_millis(50);
const ROUND_WAIT_MAX: Duration = Duration::from_secs(5);

/// Between two rounds once all have met.
const REST: Duration = Duration::from_secs(10);

/// Whoever refuses this node is asked at once why, but not all the time.
const DOUBT_PAUSE: Duration = Duration::from_millis(200);

/// Asks as long as the node runs, unless it must end.
pub(super) async fn run(service: BootstrapService, fatal: Fatal) {
    let mut wait = ROUND_WAIT_MIN;
    loop {
        if tokio::time::timeout(wait, service.gate.doubted()).await.is_ok() {
            tokio::time::sleep(DOUBT_PAUSE).await;
        }
        wait = (wait * 2).min(ROUND_WAIT_MAX);
        // While it may have to begin the cluster it asks the same question for that, and stops for less.
        if service.is_first() && !service.holds_log() {
            continue;
        }
        let mut others = service.gate.directory.best();
        others.remove(&service.gate.id());
        let answers = futures::future::join_all(others.iter().map(|(id, node)| meet(&service, *id, node))).await;
        if let Some(cause) = answers.into_iter().flatten().next() {
            return fatal.raise_as(cause);
        }
        if service.holds_log() && others.keys().all(|id| service.gate.has_met(*id)) {
            wait = REST;
        }
    }
}

/// Asks one. Gives what ends this node.
async fn meet(service: &BootstrapService, peer: CoordinatorId, node: &MemberNode) -> Option<Cause> {
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
    match service.gate.confirm_as(peer, Some(header), remember) {
        Ok(()) => {}
        // Its disk is that of the member who was asked: this is looked at last.
        Err(Refused::Ahead { .. }) => return outdated(header),
        Err(_) => return None,
    }
    if let Some(cause) = told(&reply) {
        return Some(cause);
    }
    let refused = service.gate.check_recognised(peer, header).err()?;
    service.gate.unwelcome_at(peer, refused.to_string());
    let certain = reply.leads || reply.standing() == Standing::OtherStore;
    (certain && !service.holds_log()).then(|| replaced(&refused))
}

/// What ends this node whatever it holds.
pub(super) fn told(reply: &ProbeReply) -> Option<Cause> {
    let told = || format!("coordinator {} says: {}", reply.id, reply.reason);
    match reply.standing() {
        Standing::Removed => Some(Cause::Removed(told())),
        Standing::RolledBack => Some(Cause::RolledBack(told())),
        Standing::Unknown | Standing::Member | Standing::OtherStore => None,
    }
}

fn replaced(refused: &Refused) -> Cause {
    Cause::Replaced(format!("{refused}; start it with the disk it had, or let it join under a new id"))
}
