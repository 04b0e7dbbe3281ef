//! Which limits hold.

use flame_types::TaskRetention;

use crate::state::{Session, State};

/// Of a limit, what is kept free for the next submits: a quarter. So a submit is refused only when what is there may not
/// leave yet, not because the leader has not come round.
const FREE_SHARE: u64 = 4;

/// How much is kept below a limit as long as something may leave.
#[must_use]
pub fn keep_below(limit: u64) -> u64 {
    limit - limit / FREE_SHARE
}

/// The limits of the finished tasks of a session: its own, then those of its application, then those of the cluster.
#[must_use]
pub fn task_limits(state: &State, session: &Session) -> TaskRetention {
    let app = state.apps.get(session.app()).map(|app| app.row.spec.retention.tasks).unwrap_or_default();
    session.asked.spec.retention.tasks.or(app).or(state.cluster.config.retention.tasks)
}
