//! Why a session waits.

use super::claims::Claim;
use crate::command::WaitReason;
use crate::state::State;

/// Why a claim is still short of executors after planning; `None` when it can work, wants nothing, waits only for a
/// moment after a failure, or is just being served.
pub(super) fn reason(state: &State, claims: &[Claim<'_>], place: usize) -> Option<WaitReason> {
    let claim = &claims[place];
    let enough = claim.have + claim.placed >= claim.batch;
    if claim.demand == 0 || enough {
        return None;
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
    let above = claims.iter().filter(|other| other.priority > claim.priority && other.have + other.placed > 0);
    if claim.target < claim.batch
        && let Some(priority) = above.map(|other| other.priority).max()
    {
        return Some(WaitReason::Priority { priority });
    }
    Some(WaitReason::Busy)
}
