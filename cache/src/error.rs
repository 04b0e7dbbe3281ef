//! Why something is not done, by what whoever asked can do about it.

use std::io;

use flame_types::ObjectKey;
use flame_types::ids::InvalidName;
use tonic::{Code, Status};

/// Why something is not done. The text is for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such object, or it is lost.
    #[error("object {key} not found: {why}")]
    Missing {
        /// Which.
        key: String,
        /// What is known about it.
        why: String,
    },
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Whoever asked must ask otherwise.
    #[error("{0}")]
    Wrong(String),
    /// There is no room for it.
    #[error("{0}")]
    NoRoom(String),
    /// It exists, and was not to be replaced.
    #[error("object {0} exists already; delete it first, or update it")]
    Exists(ObjectKey),
    /// It has another version than was expected.
    #[error("object {key} has version {found}, not {expected}: somebody else has changed it; read it again")]
    OtherVersion {
        /// Which.
        key: ObjectKey,
        /// The version that was expected.
        expected: u64,
        /// The version that it has; 0 when there is none.
        found: u64,
    },
    /// Native Arrow is replaced, not patched.
    #[error("object {0} is native Arrow, which cannot be patched; update it, or put it in another form")]
    Native(ObjectKey),
    /// The cache that writes the object, or has it, says so.
    #[error("{}", .0.message())]
    ByAnother(Status),
    /// Nobody can say now.
    #[error("{0}; try again")]
    Unavailable(String),
    /// The disk failed.
    #[error("the disk of the cache failed: {0}")]
    Disk(#[from] io::Error),
}

impl Refusal {
    /// The object is not there.
    pub fn missing(key: &ObjectKey, why: impl Into<String>) -> Self {
        Self::Missing { key: key.to_string(), why: why.into() }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.code() == Code::NotFound
    }

    /// The same with another reason, if the object is not there.
    #[must_use]
    pub fn or_missing(self, key: &ObjectKey, why: impl Into<String>) -> Self {
        if self.is_missing() { Self::missing(key, why) } else { self }
    }

    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::NotFound,
            Self::Name(_) | Self::Wrong(_) => Code::InvalidArgument,
            Self::NoRoom(_) => Code::ResourceExhausted,
            Self::Exists(_) => Code::AlreadyExists,
            Self::OtherVersion { .. } => Code::Aborted,
            Self::Native(_) => Code::FailedPrecondition,
            Self::ByAnother(status) => status.code(),
            Self::Unavailable(_) => Code::Unavailable,
            Self::Disk(error) if error.kind() == io::ErrorKind::StorageFull => Code::ResourceExhausted,
            Self::Disk(_) => Code::Internal,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}
