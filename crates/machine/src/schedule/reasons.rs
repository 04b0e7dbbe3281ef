//! Why a session waits.

use flame_types::{SessionKey, SessionState};

use super::claims::{Claim, unserved};
use crate::command::WaitReason;
use crate::state::State;

/// Why a session could not be served by any worker there is, whether or not it wants something yet. Apply asks when a
/// session is made, so that its user need not submit a task to learn it.
pub(crate) fn unservable(state: &State, session: SessionKey) -> Option<WaitReason> {
    let session = state.sessions.get(&session).filter(|session| session.row.state == SessionState::Open)?;
    let app = state.apps.get(session.app())?;
    unserved(state, app.row.spec.shim, session.asked.spec.resources, session.batch_size())
}

/// Why a claim is still short of executors after planning; `None` when it can work, wants nothing that it could not get,
/// waits only for a moment after a failure, or is just being served.
pub(super) fn reason(state: &State, claim: &Claim<'_>, highest: Option<u32>) -> Option<WaitReason> {
    if claim.have + claim.placed >= claim.batch {
        return None;
    }
    if claim.demand == 0 {
        // Whoever has said that nobody could serve it keeps that up to date while it is idle. The others are not looked
        // at before they want something, however many they are.
        let says_so = claim.session.row.wait.is_some() && claim.session.row.state == SessionState::Open;
        return claim.unserved.clone().filter(|_| says_so);
    }
    if let Some(reason) = &claim.blocked {
        return Some(reason.clone());
    }
    if claim.backing_off {
        return None;
    }
    if state.app_instances(claim.app).saturating_add(claim.step()) > claim.app_max && claim.app_max > 0 {
        return Some(WaitReason::AppLimit { max_instances: claim.app_max });
    }
    if claim.target < claim.batch
        && let Some(priority) = highest.filter(|highest| *highest > claim.priority)
    {
        return Some(WaitReason::Priority { priority });
    }
    Some(WaitReason::Busy)
}

/// The highest priority that holds executors or is given some.
pub(super) fn highest_served(claims: &[Claim<'_>]) -> Option<u32> {
    claims.iter().filter(|claim| claim.have + claim.placed > 0).map(|claim| claim.priority).max()
}
