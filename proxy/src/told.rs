//! What a client was told of a task: so that a stream that goes on at another coordinator tells nothing twice and takes
//! nothing back.
//!
//! A coordinator that is behind shows an older state than one before it did. From one and the same coordinator every state
//! is news, also a task that waits again because its worker is gone.

use flame_proto::v1;
use flame_types::TaskState;

/// What a client was told of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    state: Option<i32>,
    /// Another coordinator serves the stream, and has not told as much yet.
    catches_up: bool,
    /// The client has asked for the present state once more.
    owes: bool,
}

impl Told {
    /// The client wants to know the present state, whatever it was told.
    pub(crate) fn owe(&mut self) {
        self.owes = true;
    }

    /// Another coordinator serves the stream.
    pub(crate) fn on_reopened(&mut self) {
        self.catches_up = self.state.is_some();
    }

    /// A coordinator shows this state: whether the client is told.
    pub(crate) fn hears(&mut self, state: i32) -> bool {
        let is_behind = self.catches_up && self.state.is_some_and(|told| rank(state) < rank(told));
        if is_behind {
            return false;
        }
        self.catches_up = false;
        let is_news = self.state.replace(state) != Some(state);
        is_news | std::mem::take(&mut self.owes)
    }
}

/// The state of a task as a message shows it. None: it has none.
pub(crate) fn state(task: &v1::Task) -> Option<i32> {
    task.status.as_ref().map(|status| status.state)
}

/// Whether nothing comes after this state.
pub(crate) fn is_last(state: i32) -> bool {
    TaskState::from_number(state).is_some_and(TaskState::is_terminal)
}

/// How far a task is that has this state. One that is not known here is as far as one can be: it is passed on.
fn rank(state: i32) -> u8 {
    match TaskState::from_number(state) {
        Some(TaskState::Pending) => 0,
        Some(TaskState::Running) => 1,
        Some(TaskState::Succeed | TaskState::Failed | TaskState::Cancelled) | None => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PENDING: i32 = 0;
    const RUNNING: i32 = 1;
    const SUCCEED: i32 = 2;

    /// Which of these states a client is told.
    fn heard(told: &mut Told, states: &[i32]) -> Vec<i32> {
        states.iter().copied().filter(|state| told.hears(*state)).collect()
    }

    #[test]
    fn one_coordinator_is_taken_at_its_word() {
        let states = [PENDING, RUNNING, PENDING, RUNNING, SUCCEED];
        assert_eq!(heard(&mut Told::default(), &states), states, "a task can wait again");
        assert_eq!(heard(&mut Told::default(), &[RUNNING, RUNNING, SUCCEED]), [RUNNING, SUCCEED]);
    }

    #[test]
    fn the_next_coordinator_tells_what_is_new() {
        let after_running = |states: &[i32]| {
            let mut told = Told::default();
            assert!(told.hears(RUNNING));
            told.on_reopened();
            heard(&mut told, states)
        };
        assert_eq!(after_running(&[RUNNING, SUCCEED]), [SUCCEED]);
        assert_eq!(after_running(&[PENDING, RUNNING, SUCCEED]), [SUCCEED], "it was behind");
        assert_eq!(after_running(&[SUCCEED]), [SUCCEED]);
        assert_eq!(after_running(&[RUNNING, PENDING]), [PENDING], "it had caught up: its worker is gone");
        let mut told = Told::default();
        told.on_reopened();
        assert_eq!(heard(&mut told, &[PENDING, RUNNING]), [PENDING, RUNNING], "nothing was told before");
    }

    #[test]
    fn who_asks_again_is_told_again_but_nothing_older() {
        let mut told = Told::default();
        assert!(told.hears(RUNNING));
        told.owe();
        assert_eq!(heard(&mut told, &[RUNNING, RUNNING]), [RUNNING]);
        told.owe();
        told.on_reopened();
        assert_eq!(heard(&mut told, &[PENDING, RUNNING, RUNNING]), [RUNNING]);
    }

    #[test]
    fn states_of_later_generations_are_passed_on() {
        let mut told = Told::default();
        assert_eq!(heard(&mut told, &[RUNNING, 99]), [RUNNING, 99]);
        assert!(!is_last(99) && !is_last(RUNNING) && is_last(SUCCEED));
    }
}
