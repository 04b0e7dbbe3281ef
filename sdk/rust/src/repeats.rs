//! Which call is sent again after a lost answer, and why that is safe.
//!
//! An answer is lost when a connection breaks, when nothing comes in time, or when a server says so itself
//! (DEADLINE_EXCEEDED): then nobody can say whether the call was done. UNAVAILABLE by a coordinator, RESOURCE_EXHAUSTED with
//! a time to come back after, and a connection that never came up are no lost answers: nothing was done, and every call is
//! tried again.
//!
//! | call | after a lost answer | why a repeat is safe, and what its refusal means |
//! |---|---|---|
//! | everything that only reads; OpenSession without options; watches | again | it changes nothing |
//! | CreateTask | again | keyed: all attempts carry the same `flame-idempotency-key-bin`, and a session makes one task of a key |
//! | CreateSession with a drawn id | again | nobody else draws that id: if it exists, this call made it, and it is fetched |
//! | CreateSession with a chosen id | again | an id is taken once. "It exists already" may speak of this call or of somebody else: the outcome is unknown |
//! | OpenSession with options | again | what is open with the same options is returned |
//! | CloseSession, ForceCloseSession | again | closed stays closed. "Tasks are running" says that it was not closed before either |
//! | SuspendSession, ResumeSession | again | suspending what is suspended changes nothing; the same for resuming |
//! | DeleteSession | again | what is gone stays gone: "not found" is success. "It is open" says that it was not removed |
//! | RegisterApplication | again | a name is taken once. "It exists already" is success when it looks as asked for, else the outcome is unknown |
//! | UpdateApplication | again | the same specification replaces itself. "It has open sessions" is success when it looks as asked for, else the outcome is unknown |
//! | UnregisterApplication | again | as DeleteSession |
//! | CancelTask | again | a task ends once. "It has ended" is success when it was cancelled |
//! | CordonNode, DrainNode | again | a node that is cordoned, or drained, or neither, is so already |
//! | TransferLeader to a member | again | it leads already |
//! | TransferLeader to anybody | **never** | a repeat would hand on a second time |
//! | Upgrade | again | a level is raised once: one that is reached is success |
//! | Membership.Change | again | a member is added, promoted and removed once: what is so already is success |
//!
//! Any other refusal that depends on the state (not found, exists, limits …) and answers a repeat becomes
//! [`FlameError::UnknownOutcome`]: it cannot know whether the lost attempt was done.
//!
//! Two limits remain:
//!
//! * A key is remembered for the last 65,536 keyed submits of its session. A connection that has submitted half as many
//!   since a submit began does not repeat that one any more; submits of other clients it cannot count.
//! * Only CreateTask has a key. Any other lost attempt may still be done after its repeat, by a node that was cut off and
//!   comes back: a session that was suspended, and resumed right after, can be suspended once more, and so can a
//!   node be cordoned; a name that was given up and taken again by somebody else can be given up once more.

use crate::FlameError;
use crate::key::IdempotencyKey;

/// Whether an attempt of a call may follow one whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It changes nothing.
    Read,
    /// Done twice, it leaves what done once would have left.
    Idempotent,
    /// Every attempt carries this key; the coordinators do it once.
    Keyed(IdempotencyKey),
    /// Done twice, it leaves something else.
    Once,
}

/// The end of a call.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, FlameError>,
    /// An earlier attempt may have changed something: "it exists already" may speak of that one.
    pub(crate) after_lost: bool,
}

impl<T> Outcome<T> {
    /// The result of a change. A refusal says that nothing was done; when it answers a repeat, it cannot know that: the
    /// lost attempt may have been done, and the thing may have changed since.
    pub(crate) fn of_change(self) -> Result<T, FlameError> {
        match self.result {
            Err(refusal) if self.after_lost && refusal.depends_on_state() => Err(FlameError::UnknownOutcome(format!(
                "{refusal}; an earlier answer was lost, so the change may have been done before"
            ))),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_repeat_says_nothing_of_the_lost_attempt() {
        let class = |error: FlameError, after_lost| {
            Outcome::<()> { result: Err(error), after_lost }.of_change().unwrap_err().class()
        };
        let text = || "x".to_owned();
        assert_eq!(class(FlameError::NotFound(text()), false), "not_found");
        assert_eq!(class(FlameError::NotFound(text()), true), "unknown_outcome");
        assert_eq!(class(FlameError::ResourceExhausted(text()), true), "unknown_outcome");
        assert_eq!(class(FlameError::InvalidArgument(text()), true), "invalid_argument", "wrong in every attempt");
    }
}
