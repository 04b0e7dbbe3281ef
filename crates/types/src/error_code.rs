//! How a refusal is classed. The names are gRPC's, since that is how clients see them.

use serde::{Deserialize, Serialize};

/// The class of an error, by what its receiver can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request itself is wrong: mend it.
    InvalidArgument,
    /// The thing named does not exist.
    NotFound,
    /// The thing to be made exists.
    AlreadyExists,
    /// The thing is in a state that does not allow this.
    FailedPrecondition,
    /// A named limit is reached: try later, or raise it.
    ResourceExhausted,
    /// Published clients expect this class for some states (closing a session with running tasks).
    Internal,
    /// The caller may not do this.
    PermissionDenied,
    /// Nobody leads right now: try again.
    Unavailable,
    /// The service has no such method.
    Unimplemented,
    /// Whether it was done cannot be told any more: look before trying again.
    Aborted,
}
