//! Errors, by what their receiver can do.
//!
//! **Invariant:** the text of the server is kept: published clients and people match on it.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When somebody should come back who is told that the coordinators have too much to do.
const OVERLOADED_WAIT: Duration = Duration::from_secs(1);

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlameError {
    /// The thing named does not exist. Nothing was done.
    #[error("{0}")]
    NotFound(String),
    /// The thing to be made exists. Nothing was done.
    #[error("{0}")]
    AlreadyExists(String),
    /// The request itself is wrong: mend it. Nothing was done.
    #[error("{0}")]
    InvalidArgument(String),
    /// The thing is in a state that does not allow this. Nothing was done.
    #[error("{0}")]
    FailedPrecondition(String),
    /// A limit is reached: try later, or raise it. Nothing was done.
    #[error("{0}")]
    ResourceExhausted(String),
    /// The caller may not do this. Nothing was done.
    #[error("{0}")]
    PermissionDenied(String),
    /// This client and the coordinators do not come together over TLS: certificates, or who trusts whom, must be mended.
    /// Nothing was done.
    #[error("{0}")]
    Untrusted(String),
    /// No coordinator could be reached, or none leads. Nothing was done: try again.
    #[error("{0}")]
    Unavailable(String),
    /// The coordinators had too much to do for as long as this client tried. Nothing was done: try again later.
    #[error("{0}")]
    Overloaded(String),
    /// The answer was lost. The change may have been done or not: look before trying again.
    #[error("{0}")]
    UnknownOutcome(String),
    /// The server lacks this call: it is older than this client.
    #[error("{0}")]
    Unimplemented(String),
    /// The task ran and ended badly; the text ends with what its service said. Mend the service or the input.
    #[error("{0}")]
    TaskFailed(String),
    /// Somebody ended the task before it was done.
    #[error("{0}")]
    TaskCancelled(String),
    /// The wait has taken as long as its caller allowed. What was waited for goes on: wait again, or cancel it.
    #[error("{0}")]
    TimedOut(String),
    /// A value has no form in its codec, or bytes are not the type they were taken for: mend the type.
    #[error("{0}")]
    Codec(String),
    /// The server, the service or this client failed.
    #[error("{0}")]
    Internal(String),
}

impl FlameError {
    /// A short stable name of the class, as JSON output carries it.
    ///
    /// ```
    /// use flame_sdk::FlameError;
    ///
    /// assert_eq!(FlameError::NotFound("session x".to_owned()).class(), "not_found");
    /// ```
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::AlreadyExists(_) => "already_exists",
            Self::InvalidArgument(_) => "invalid_argument",
            Self::FailedPrecondition(_) => "failed_precondition",
            Self::ResourceExhausted(_) => "resource_exhausted",
            Self::PermissionDenied(_) => "permission_denied",
            Self::Untrusted(_) => "untrusted",
            Self::Unavailable(_) => "unavailable",
            Self::Overloaded(_) => "overloaded",
            Self::UnknownOutcome(_) => "unknown_outcome",
            Self::Unimplemented(_) => "unimplemented",
            Self::TaskFailed(_) => "task_failed",
            Self::TaskCancelled(_) => "task_cancelled",
            Self::TimedOut(_) => "timed_out",
            Self::Codec(_) => "codec",
            Self::Internal(_) => "internal",
        }
    }

    /// The status that says the same to somebody else, with the codes as the coordinators use them: UNAVAILABLE when
    /// nothing was done, DEADLINE_EXCEEDED when nobody can say.
    #[must_use]
    pub fn to_status(&self) -> Status {
        let code = match self {
            Self::NotFound(_) => Code::NotFound,
            Self::AlreadyExists(_) => Code::AlreadyExists,
            Self::InvalidArgument(_) => Code::InvalidArgument,
            Self::FailedPrecondition(_) => Code::FailedPrecondition,
            Self::ResourceExhausted(_) => Code::ResourceExhausted,
            Self::PermissionDenied(_) => Code::PermissionDenied,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Overloaded(text) => {
                let details = ErrorDetails::with_retry_info(Some(OVERLOADED_WAIT));
                return Status::with_error_details(Code::ResourceExhausted, text.clone(), details);
            }
            Self::UnknownOutcome(_) => Code::DeadlineExceeded,
            Self::Unimplemented(_) => Code::Unimplemented,
            Self::Untrusted(_) => Code::Unauthenticated,
            Self::TimedOut(_) => Code::DeadlineExceeded,
            Self::TaskCancelled(_) => Code::Cancelled,
            Self::TaskFailed(_) => Code::Aborted,
            Self::Codec(_) => Code::InvalidArgument,
            Self::Internal(_) => Code::Internal,
        };
        Status::new(code, self.to_string())
    }

    /// The class of an answer that a server gave. The published protocol uses INVALID_ARGUMENT and INTERNAL for some
    /// refusals that depend on a state; those are told apart by their published texts.
    pub(crate) fn from_answer(status: &Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound(text),
            Code::AlreadyExists => Self::AlreadyExists(text),
            Code::InvalidArgument | Code::Internal if is_about_a_state(&text) => Self::FailedPrecondition(text),
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument(text),
            Code::FailedPrecondition => Self::FailedPrecondition(text),
            Code::Aborted => Self::UnknownOutcome(text),
            Code::ResourceExhausted => Self::ResourceExhausted(text),
            Code::PermissionDenied | Code::Unauthenticated => Self::PermissionDenied(text),
            Code::Unavailable => Self::Unavailable(text),
            Code::Unimplemented => Self::Unimplemented(text),
            Code::Ok | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Internal | Code::DataLoss => {
                Self::Internal(text)
            }
        }
    }

    /// The class of a refusal that came inside a reply (`return_code` below zero): the published protocol gives those
    /// no code, only a text.
    pub(crate) fn from_refusal(message: Option<String>) -> Self {
        let text = message.unwrap_or_else(|| "the server refused without saying why".to_owned());
        if text.contains("not found") {
            Self::NotFound(text)
        } else if text.contains("already exist") {
            Self::AlreadyExists(text)
        } else if is_about_a_state(&text) {
            Self::FailedPrecondition(text)
        } else if text.starts_with("limit reached") {
            Self::ResourceExhausted(text)
        } else {
            Self::InvalidArgument(text)
        }
    }
}

fn is_about_a_state(text: &str) -> bool {
    const PUBLISHED_TEXTS: &[&str] =
        &["running tasks", "is not open", "spec mismatch", "open session", "Cannot delete open", "is disabled"];
    PUBLISHED_TEXTS.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_refusals_about_a_state_are_told_from_bad_input() {
        let class = |status: Status| FlameError::from_answer(&status).class();
        assert_eq!(class(Status::internal("Cannot close session with running tasks")), "failed_precondition");
        assert_eq!(class(Status::invalid_argument("session s is not open")), "failed_precondition");
        assert_eq!(class(Status::invalid_argument("invalid task id")), "invalid_argument");
        assert_eq!(class(Status::internal("disk")), "internal");
        assert_eq!(class(Status::aborted("nobody remembers")), "unknown_outcome");
    }

    #[test]
    fn a_status_says_what_the_error_says() {
        use crate::fate::Fate;
        let text = || "x".to_owned();
        for error in [FlameError::NotFound(text()), FlameError::ResourceExhausted(text()), FlameError::Internal(text())]
        {
            assert_eq!(FlameError::from_answer(&error.to_status()), error);
        }
        let fate = |error: FlameError| Fate::of(error.to_status());
        assert!(matches!(fate(FlameError::Unavailable(text())), Fate::NotDone(_)));
        assert!(matches!(fate(FlameError::Overloaded(text())), Fate::NotDone(_)), "try again later");
        assert!(matches!(fate(FlameError::UnknownOutcome(text())), Fate::Lost(_)));
    }

    #[test]
    fn refusals_inside_replies_are_classed_by_their_text() {
        let class = |text: &str| FlameError::from_refusal(Some(text.to_owned())).class();
        assert_eq!(class("application <x> not found"), "not_found");
        assert_eq!(class("application <x> already exists"), "already_exists");
        assert_eq!(class("Cannot unregister application 'x': has open sessions"), "failed_precondition");
        assert_eq!(class("2 open sessions in the application x; close them first"), "failed_precondition");
        assert_eq!(class("limit reached: applications = 10000"), "resource_exhausted");
        assert_eq!(class("invalid application name"), "invalid_argument");
    }
}
