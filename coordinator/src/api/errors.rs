//! Refusals and failures as gRPC statuses.
//!
//! UNAVAILABLE means: nothing was done, try again, here or elsewhere. RESOURCE_EXHAUSTED with a retry hint means: this
//! node has too much to do, nothing was done, try again after that time. DEADLINE_EXCEEDED means: nobody can say whether
//! it was done. ABORTED means, for a change with a request id: it may have been done, and sending it again will not tell.
//! Every other code, and RESOURCE_EXHAUSTED without a hint, means: it was refused and nothing was done.

use std::time::Duration;

use flame_machine::refusal::Refusal;
use flame_proto::{Invalid, v1};
use flame_storage::CodecError;
use flame_types::ErrorCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::call::REQUEST_SEEN_METADATA;
use crate::drive::gateway::GatewayError;

/// The trailer that the retry policies of gRPC libraries read, in milliseconds.
const PUSHBACK_TRAILER: &str = "grpc-retry-pushback-ms";

/// How a class of refusals is called by gRPC.
#[must_use]
pub fn code(class: ErrorCode) -> Code {
    match class {
        ErrorCode::InvalidArgument => Code::InvalidArgument,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::AlreadyExists => Code::AlreadyExists,
        ErrorCode::FailedPrecondition => Code::FailedPrecondition,
        ErrorCode::ResourceExhausted => Code::ResourceExhausted,
        ErrorCode::Internal => Code::Internal,
        ErrorCode::PermissionDenied => Code::PermissionDenied,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::Unimplemented => Code::Unimplemented,
        ErrorCode::Aborted => Code::Aborted,
    }
}

/// A refusal as a status: published class, published text. One for the age of its request says what to name instead.
#[must_use]
pub fn refused(refusal: &Refusal) -> Status {
    let mut status = Status::new(code(refusal.code()), refusal.to_string());
    if let Refusal::RequestForgotten { next } = refusal {
        status.metadata_mut().insert(REQUEST_SEEN_METADATA, next.0.into());
    }
    status
}

/// A refusal inside a reply, as the three changes of applications answer it.
#[must_use]
pub fn refused_in_band(refusal: &Refusal) -> v1::Result {
    not_done(refusal.to_string())
}

/// A published reply that says no.
#[must_use]
pub fn not_done(why: String) -> v1::Result {
    v1::Result { return_code: -1, message: Some(why) }
}

/// What is wrong with a message, as a status.
#[must_use]
pub fn invalid(error: &Invalid) -> Status {
    Status::invalid_argument(error.to_string())
}

impl From<GatewayError> for Status {
    fn from(error: GatewayError) -> Self {
        let text = error.to_string();
        match error {
            GatewayError::Refused(refusal) => refused(&refusal),
            GatewayError::Unknown => Status::deadline_exceeded(text),
            GatewayError::NoLeader | GatewayError::Stopped | GatewayError::NotReady(_) => Status::unavailable(text),
            GatewayError::Overloaded { retry_after } => overloaded(text, retry_after),
            GatewayError::TooLarge { .. } => Status::invalid_argument(text),
        }
    }
}

/// The one refusal that is worth another try: nothing was done, and by then there should be room. The hint is a
/// `google.rpc.RetryInfo` in `grpc-status-details-bin`, and once more as the trailer that gRPC libraries obey.
fn overloaded(text: String, retry_after: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(retry_after));
    let mut status = Status::with_error_details(Code::ResourceExhausted, text, details);
    let milliseconds = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    status.metadata_mut().insert(PUSHBACK_TRAILER, milliseconds.into());
    status
}

/// The rows of this node could not be read. Nothing that a client sends can cause it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error("the rows of this node cannot be read: {0}")]
    Storage(#[from] flame_storage::Error),
    /// A row is not what was written.
    #[error("a row of this node is damaged: {0}")]
    Row(#[from] CodecError),
    /// A row of another kind lies under this key.
    #[error("a row of this node is of another kind than its key says")]
    Kind,
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "a read failed");
        Status::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use flame_types::{ClientId, RequestId, RequestNo, Seq};

    use super::*;

    #[test]
    fn refusals_have_published_codes_and_texts() {
        let id = || "s1".to_string();
        let cases = [
            (Refusal::SessionNotFound(id()), Code::NotFound, "session s1 not found"),
            (Refusal::SessionExists(id()), Code::AlreadyExists, "already exists"),
            (Refusal::SessionNotOpen(id()), Code::InvalidArgument, "session s1 is not open"),
            (Refusal::RunningTasks, Code::Internal, "Cannot close session with running tasks"),
            (Refusal::SessionStillOpen(id()), Code::FailedPrecondition, "is open"),
            (Refusal::AppNotFound("a".into()), Code::NotFound, "application a not found"),
            (Refusal::NodeNotFound("n".into()), Code::NotFound, "node n not found"),
            (Refusal::Limit { name: "sessions".into(), limit: 9 }, Code::ResourceExhausted, "sessions = 9"),
        ];
        for (refusal, code, text) in cases {
            let status = Status::from(GatewayError::Refused(refusal));
            assert_eq!(status.code(), code);
            assert!(status.message().contains(text), "{}", status.message());
        }
        let mismatch =
            Refusal::SpecMismatch { id: id(), field: "max_instances".into(), expected: "1".into(), got: "2".into() };
        let status = refused(&mismatch);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "session s1 spec mismatch: max_instances differs (expected 1, got 2)");
    }

    #[test]
    fn a_refusal_in_band_is_minus_one_and_says_why() {
        let result = refused_in_band(&Refusal::AppExists("a".into()));
        assert_eq!((result.return_code, result.message.as_deref()), (-1, Some("application a already exists")));
    }

    #[test]
    fn unavailable_is_said_only_when_nothing_was_done() {
        for error in [GatewayError::NoLeader, GatewayError::Stopped, GatewayError::NotReady("behind".into())] {
            assert_eq!(Status::from(error).code(), Code::Unavailable);
        }
        assert_eq!(Status::from(GatewayError::Unknown).code(), Code::DeadlineExceeded);
    }

    #[test]
    fn overload_says_when_to_come_back_and_no_other_refusal_does() {
        let hint = |status: &Status| status.get_details_retry_info().and_then(|info| info.retry_delay);
        let retry_after = Duration::from_millis(1250);
        let status = Status::from(GatewayError::Overloaded { retry_after });
        assert_eq!((status.code(), hint(&status)), (Code::ResourceExhausted, Some(retry_after)));
        assert_eq!(status.metadata().get(PUSHBACK_TRAILER).unwrap(), "1250");
        assert!(status.message().contains("try again in 1250 ms"), "{}", status.message());
        let limit = refused(&Refusal::Limit { name: "sessions".into(), limit: 9 });
        assert_eq!((limit.code(), hint(&limit)), (Code::ResourceExhausted, None));
        assert_eq!(Status::from(GatewayError::TooLarge { bytes: 1 << 30 }).code(), Code::InvalidArgument);
    }

    #[test]
    fn what_only_a_gateway_meets_is_no_fault_of_the_caller() {
        assert_eq!(refused(&Refusal::SessionExpired(ClientId(1))).code(), Code::FailedPrecondition);
        assert_eq!(refused(&Refusal::Stale(Seq(1))).code(), Code::FailedPrecondition);
    }

    #[test]
    fn a_request_that_is_too_old_is_aborted_and_told_the_present_number() {
        let status = refused(&Refusal::RequestForgotten { next: RequestNo(70_001) });
        assert_eq!(
            (status.code(), status.metadata().get(REQUEST_SEEN_METADATA).unwrap().as_bytes()),
            (Code::Aborted, &b"70001"[..])
        );
        let status = refused(&Refusal::RequestReused(RequestId([7; 16])));
        assert!(status.message().contains("0707"), "{}", status.message());
        assert_eq!((status.code(), status.metadata().len()), (Code::InvalidArgument, 0));
    }

    #[test]
    fn messages_that_are_wrong_are_invalid_arguments() {
        assert_eq!(invalid(&Invalid::ApplicationSpecMissing).message(), "applilcation spec is missed");
        assert_eq!(invalid(&Invalid::SessionSpecMissing).code(), Code::InvalidArgument);
    }
}
