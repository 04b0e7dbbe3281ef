//! What can be wrong with a published message.

/// Why a message was refused. The texts marked *published* are those of the published server, spelling included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Published: RegisterApplication or UpdateApplication without a specification.
    #[error("applilcation spec is missed")]
    ApplicationSpecMissing,
    /// Published: CreateSession without a specification, CreateTask without a task.
    #[error("session spec")]
    SessionSpecMissing,
    /// Published: the id of a task is not a number.
    #[error("invalid task id")]
    TaskId,
    /// A name breaks the rules of its kind.
    #[error(transparent)]
    Name(#[from] flame_types::ids::InvalidName),
    /// A number that no state or shim of this protocol has.
    #[error("{number} is not a known {what}")]
    UnknownNumber {
        /// The enumeration.
        what: &'static str,
        /// What was sent.
        number: i32,
    },
    /// An amount below zero.
    #[error("{field} must not be negative (got {got})")]
    Negative {
        /// The field.
        field: &'static str,
        /// What was sent.
        got: i64,
    },
    /// An amount that must not be zero.
    #[error("{field} must be at least 1 (leave it out for the default)")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// A session that could never hold what it must hold.
    #[error("max_instances {max} is below {field} {least}")]
    MaxBelow {
        /// `min_instances` or `batch_size`.
        field: &'static str,
        /// Its value.
        least: u32,
        /// What `max_instances` says.
        max: u32,
    },
    /// The name of an environment variable cannot be set on any process.
    #[error("invalid environment variable name {0:?}: it must not be empty or contain '=' or NUL")]
    EnvironmentName(String),
    /// An environment variable is given twice.
    #[error("environment variable {0:?} is given twice")]
    EnvironmentTwice(String),
}
