//! Answers and failures that both ways of calling have.

use std::error::Error;

use flame_proto::v1;
use tonic::Status;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The service answered with an error instead of a reply.
    #[error("{0}")]
    Answered(String),
    /// There was no answer.
    #[error("the connection to the service broke: {0}")]
    Broken(String),
}

/// How entering a session went.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Other than 0: it did not.
    pub(crate) return_code: i32,
    /// Why not.
    pub(crate) message: Option<String>,
    /// What the executor publishes or takes back.
    pub(crate) attributes: Option<v1::ExecutorAttributes>,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        // A status that the service sent stands alone; one that tonic made has the error it was made from.
        match status.source() {
            None => Self::Answered(format!("{:?}: {}", status.code(), status.message())),
            Some(source) => Self::Broken(format!("{} ({source})", status.message())),
        }
    }
}
