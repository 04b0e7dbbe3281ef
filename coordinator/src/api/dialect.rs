//! What callers of each generation may be shown.
//!
//! The clients of 0.6 fail on every enum value they do not know, and one such value breaks a whole list. So whoever may
//! be one gets the nearest value that 0.6 has. The methods that 0.7 renamed tell the generations apart; for the others
//! the user agent does: a Rust client (tonic) is 0.7, our own SDKs know everything, anyone else is taken for 0.6.

use flame_proto::v1;
use flame_types::{SessionState, Shim, TaskState};

/// What a caller may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Only what 0.6 knows.
    V06,
    /// Everything.
    V07,
}

impl Dialect {
    /// Of a caller of a method that both generations have.
    #[must_use]
    pub fn of_user_agent(agent: &str) -> Self {
        let knows_all = agent.split_whitespace().any(|product| {
            let name = product.split('/').next().unwrap_or_default();
            name == "tonic" || name.starts_with("flame-sdk")
        });
        if knows_all { Self::V07 } else { Self::V06 }
    }

    /// Suspended sessions are open to 0.6: they take tasks.
    #[must_use]
    pub fn session(self, mut session: v1::Session) -> v1::Session {
        if let (Self::V06, Some(status)) = (self, &mut session.status)
            && let Ok(SessionState::Suspending | SessionState::Suspended) = v1::SessionState::checked(status.state)
        {
            status.state = v1::SessionState::Open as i32;
        }
        session
    }

    /// A cancelled task has failed to 0.6, and its event says why under the code that 0.6 looks for.
    #[must_use]
    pub fn task(self, mut task: v1::Task) -> v1::Task {
        if let (Self::V06, Some(status)) = (self, &mut task.status)
            && status.state == TaskState::Cancelled.number()
        {
            status.state = TaskState::Failed.number();
            for event in &mut status.events {
                if event.code == TaskState::Cancelled.number() {
                    event.code = TaskState::Failed.number();
                }
            }
        }
        task
    }

    /// Container applications are host applications to 0.6.
    #[must_use]
    pub fn application(self, mut application: v1::Application) -> v1::Application {
        if let Some(spec) = &mut application.spec {
            spec.shim = self.shim(spec.shim);
        }
        application
    }

    /// As for applications.
    #[must_use]
    pub fn executor(self, mut executor: v1::Executor) -> v1::Executor {
        if let Some(spec) = &mut executor.spec {
            spec.shim = self.shim(spec.shim);
        }
        executor
    }

    fn shim(self, shim: i32) -> i32 {
        if self == Self::V06 && shim == Shim::Cri.number() { Shim::Host.number() } else { shim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_agents_are_shown_everything() {
        for agent in ["tonic/0.14.6", "flame-sdk/0.1.0 tonic/0.14.9", "flame-sdk-python/0.1 grpc-python/1.71.0"] {
            assert_eq!(Dialect::of_user_agent(agent), Dialect::V07, "{agent}");
        }
        for agent in ["grpc-python/1.71.0 grpc-c/46.0.0 (linux; chttp2)", "grpc-go/1.70", "x-tonic/1", ""] {
            assert_eq!(Dialect::of_user_agent(agent), Dialect::V06, "{agent}");
        }
    }

    fn session(state: SessionState) -> v1::Session {
        let status = v1::SessionStatus { state: state.number(), ..Default::default() };
        v1::Session { status: Some(status), ..Default::default() }
    }

    #[test]
    fn suspended_sessions_are_open_to_0_6() {
        for state in [SessionState::Suspending, SessionState::Suspended, SessionState::Open] {
            assert_eq!(Dialect::V06.session(session(state)), session(SessionState::Open));
            assert_eq!(Dialect::V07.session(session(state)), session(state));
        }
        assert_eq!(Dialect::V06.session(session(SessionState::Closed)), session(SessionState::Closed));
    }

    #[test]
    fn a_cancelled_task_has_failed_to_0_6_with_an_event_that_says_so() {
        let event = |code: i32| v1::Event { code, message: Some("Task was cancelled.".into()), creation_time: 7 };
        let task = |state: TaskState, events| {
            let status = v1::TaskStatus { state: state.number(), events, ..Default::default() };
            v1::Task { status: Some(status), ..Default::default() }
        };
        let cancelled = task(TaskState::Cancelled, vec![event(0), event(4)]);
        assert_eq!(Dialect::V06.task(cancelled.clone()), task(TaskState::Failed, vec![event(0), event(3)]));
        assert_eq!(Dialect::V07.task(cancelled.clone()), cancelled);
    }

    #[test]
    fn container_applications_are_host_applications_to_0_6() {
        let application = |shim: Shim| {
            let spec = v1::ApplicationSpec { shim: shim.number(), ..Default::default() };
            v1::Application { spec: Some(spec), ..Default::default() }
        };
        assert_eq!(Dialect::V06.application(application(Shim::Cri)), application(Shim::Host));
        assert_eq!(Dialect::V06.application(application(Shim::Wasm)), application(Shim::Wasm));
        assert_eq!(Dialect::V07.application(application(Shim::Cri)), application(Shim::Cri));
        let executor = |shim: Shim| {
            let spec = v1::ExecutorSpec { shim: shim.number(), ..Default::default() };
            v1::Executor { spec: Some(spec), ..Default::default() }
        };
        assert_eq!(Dialect::V06.executor(executor(Shim::Cri)), executor(Shim::Host));
    }
}
