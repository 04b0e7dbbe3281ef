//! Which call is sent again after a lost answer, and why that is safe.
//!
//! An answer is lost when a connection breaks, when nothing comes in time, or when a server says so itself
//! (DEADLINE_EXCEEDED): then nobody can say whether the call was done. UNAVAILABLE by a coordinator, RESOURCE_EXHAUSTED with
//! a time to come back after, and a connection that never came up are no lost answers: nothing was done, and every call is
//! tried again.
//!
//! | call | after a lost answer | why a repeat is safe |
//! |---|---|---|
//! | everything that only reads; OpenSession without options; watches | again | it changes nothing |
//! | every change of sessions, tasks, applications, workers and cached objects | again | all attempts carry one request id: it is done once, and the repeat gets the first attempt's answer, a refusal too. An attempt that was held up somewhere and comes after its repeat does nothing |
//! | the same by a server that knows no request ids | **never** | it might be done twice |
//! | TransferLeader to a member | again | it leads already |
//! | TransferLeader to anybody | **never** | a repeat would hand on a second time |
//! | Upgrade | again | a level is raised once: one that is reached is success |
//! | Membership.Change | again | a member is added, promoted and removed once: what is so already is success |
//!
//! One limit remains: the coordinators remember the last 65,536 changes of all clients together. A repeat that comes after
//! so many others is not done; they say that they cannot tell, and the call ends with
//! [`FlameError::UnknownOutcome`](crate::FlameError::UnknownOutcome). A change that was sent only once is then sent anew.

/// Whether an attempt of a call may follow one whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It changes nothing.
    Read,
    /// Done twice, it leaves what done once would have left; or the coordinators do it once.
    Idempotent,
    /// Done twice, it leaves something else.
    Once,
}
