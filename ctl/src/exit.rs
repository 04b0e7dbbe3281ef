//! How a command ends.
//!
//! **Invariant:** the codes are documented (docs/reference/flmctl.md) and never change their meaning.

use std::process::ExitCode;

use flame_sdk::FlameError;
use serde::Serialize;

/// The exit codes of `flmctl`, `flmping` and `flmexec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// The work failed.
    Failed = 1,
    /// The command was written wrongly, or asks for something that can never be.
    Usage = 2,
    /// The thing named does not exist.
    NotFound = 3,
    /// Time ran out while waiting.
    TimedOut = 4,
    /// No coordinator could be reached, none leads, or all have too much to do.
    Unreachable = 5,
    /// The thing is in a state that does not allow this, or exists already.
    Conflict = 6,
    /// The caller may not do this, or the certificates of both sides do not fit.
    NotAllowed = 7,
    /// Ended by the user (Ctrl-C).
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, as the documentation lists them.
    pub const TABLE: &'static [(Exit, &'static str)] = &[
        (Exit::Done, "done"),
        (Exit::Failed, "the work failed"),
        (Exit::Usage, "usage: the command is written wrongly, or asks for something that can never be"),
        (Exit::NotFound, "not found"),
        (Exit::TimedOut, "timed out waiting"),
        (
            Exit::Unreachable,
            "no leader, or the cluster cannot be reached or has too much to do; also when an answer was lost",
        ),
        (Exit::Conflict, "conflict: it exists already, or its state does not allow this"),
        (Exit::NotAllowed, "not allowed; also when the certificates of both sides do not fit"),
        (Exit::Interrupted, "interrupted"),
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command did not do what was asked, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// A short stable name of the class.
    pub class: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        let class = match exit {
            Exit::Done => "done",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::NotFound => "not_found",
            Exit::TimedOut => "timed_out",
            Exit::Unreachable => "unreachable",
            Exit::Conflict => "conflict",
            Exit::NotAllowed => "not_allowed",
            Exit::Interrupted => "interrupted",
        };
        Self { exit, class, message: message.into(), hint: None }
    }

    /// The command is written wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something on this machine failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with advice unless there is some.
    #[must_use]
    pub fn or_hint(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self, program: &str) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("  {hint}\n")).unwrap_or_default();
        format!("{program}: {}\n{hint}", self.message)
    }

    /// For scripts that asked for JSON.
    #[must_use]
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            error: Body<'a>,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            class: &'a str,
            exit_code: u8,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
        }
        let body =
            Body { class: self.class, exit_code: self.exit.code(), message: &self.message, hint: self.hint.as_deref() };
        let json = serde_json::to_string(&Shown { error: body }).expect("texts and numbers always have a JSON form");
        json + "\n"
    }
}

impl From<FlameError> for Failure {
    fn from(error: FlameError) -> Self {
        let exit = match &error {
            FlameError::NotFound(_) => Exit::NotFound,
            FlameError::AlreadyExists(_) | FlameError::FailedPrecondition(_) => Exit::Conflict,
            FlameError::InvalidArgument(_) => Exit::Usage,
            FlameError::PermissionDenied(_) | FlameError::Untrusted(_) => Exit::NotAllowed,
            FlameError::Unavailable(_) | FlameError::Overloaded(_) | FlameError::UnknownOutcome(_) => Exit::Unreachable,
            FlameError::TimedOut(_) => Exit::TimedOut,
            FlameError::ResourceExhausted(_)
            | FlameError::Unimplemented(_)
            | FlameError::TaskFailed(_)
            | FlameError::TaskCancelled(_)
            | FlameError::Codec(_)
            | FlameError::Internal(_) => Exit::Failed,
        };
        let hint = match &error {
            FlameError::Unavailable(_) => Some(
                "see that a coordinator runs there, or name others with --endpoint or FLAME_ENDPOINT; \
                 `flmctl dev` starts a cluster on this machine",
            ),
            FlameError::Overloaded(_) => Some("nothing was done: try again later"),
            FlameError::UnknownOutcome(_) => Some("look with `flmctl list` or `flmctl view` before you try again"),
            FlameError::ResourceExhausted(_) => Some("a limit is reached: try again later, or raise it"),
            FlameError::Unimplemented(_) => Some("the server is older than this command: update it"),
            FlameError::Untrusted(_) => {
                Some("nothing was done; docs/operate/tls.md says what each of these errors means")
            }
            FlameError::PermissionDenied(_) => Some("ask who runs this cluster for the right to do this"),
            _ => None,
        };
        Self { exit, class: error.class(), message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_client_has_its_code() {
        let text = || "x".to_owned();
        let code = |error: FlameError| Failure::from(error).exit.code();
        assert_eq!(code(FlameError::Internal(text())), 1);
        assert_eq!(code(FlameError::ResourceExhausted(text())), 1);
        assert_eq!(code(FlameError::Unimplemented(text())), 1);
        assert_eq!(code(FlameError::TaskFailed(text())), 1);
        assert_eq!(code(FlameError::TaskCancelled(text())), 1);
        assert_eq!(code(FlameError::Codec(text())), 1);
        assert_eq!(code(FlameError::TimedOut(text())), 4);
        assert_eq!(code(FlameError::InvalidArgument(text())), 2);
        assert_eq!(code(FlameError::NotFound(text())), 3);
        assert_eq!(code(FlameError::Unavailable(text())), 5);
        assert_eq!(code(FlameError::Overloaded(text())), 5);
        assert_eq!(code(FlameError::UnknownOutcome(text())), 5);
        assert_eq!(code(FlameError::AlreadyExists(text())), 6);
        assert_eq!(code(FlameError::FailedPrecondition(text())), 6);
        assert_eq!(code(FlameError::PermissionDenied(text())), 7);
        assert_eq!(code(FlameError::Untrusted(text())), 7);
    }

    #[test]
    fn errors_have_a_form_for_people_and_one_for_scripts() {
        let failure = Failure::new(Exit::NotFound, "session \"x\" not found").hint("look around");
        assert_eq!(failure.text("flmctl"), "flmctl: session \"x\" not found\n  look around\n");
        assert_eq!(
            failure.json(),
            "{\"error\":{\"class\":\"not_found\",\"exit_code\":3,\"message\":\"session \\\"x\\\" not found\",\
             \"hint\":\"look around\"}}\n"
        );
    }
}
