//! Every key and every name, each a type of its own.
//!
//! Keys are dense integers made by the log; names are text chosen by people and checked here, once.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The key after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

key! {
    /// A session inside the replicated state, numbered in log order. The client's text id maps to it.
    SessionKey(u64)
}
key! {
    /// A task inside its session: 1, 2, 3 … in the order of submission. 0 stands for the session itself.
    TaskNo(u64)
}
key! {
    /// One assignment of one task to one executor. Strictly growing over the life of a cluster, never reused:
    /// a completion is recorded only if the state still holds its token.
    Token(u64)
}
key! {
    /// An executor: one service process on one worker.
    ExecutorKey(u64)
}
key! {
    /// Who sent a command, as registered in the log. [`ClientId::NONE`] sends commands that are safe to repeat.
    ClientId(u64)
}
key! {
    /// Position of a command among those of its client: 1, 2, 3 … without gaps.
    Seq(u64)
}
key! {
    /// Counts the lives of a lease or of an executor's queue: a message from an earlier life is refused.
    Epoch(u64)
}
key! {
    /// Counts the Hello messages of one incarnation of a worker.
    HelloNo(u64)
}
key! {
    /// Position in the Raft log.
    LogIndex(u64)
}
key! {
    /// A Raft term.
    Term(u64)
}
key! {
    /// Counts restores and forced recoveries of a cluster: positions of another generation mean nothing.
    Generation(u32)
}
key! {
    /// A coordinator, as named in the configuration of the cluster.
    CoordinatorId(u64)
}
key! {
    /// Something that happened in the cluster: 1, 2, 3 … without gaps.
    EventNo(u64)
}
key! {
    /// A node of the object cache inside the replicated state. Used again only when nothing names it any more.
    CacheKey(u32)
}
key! {
    /// Counts the changes of one cached object: 1 when it is put first, one more with each update and patch.
    ObjectVersion(u64)
}
key! {
    /// A change that carried a [`RequestId`], numbered in log order. Whoever names the next number before sending a change
    /// says that the change, if it was ever done, has this number or a later one.
    RequestNo(u64)
}

/// The id that a client gives to one change. All attempts to have it made carry the same; no other change ever does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl ClientId {
    /// Commands that need no window because repeating them changes nothing: the leader's own, the workers' reports,
    /// the registration of a client.
    pub const NONE: ClientId = ClientId(0);
}

impl TaskNo {
    /// Owner of the events of the session as a whole.
    pub const SESSION: TaskNo = TaskNo(0);
    /// The first task of a session.
    pub const FIRST: TaskNo = TaskNo(1);
}

/// A place in the history of a cluster: an entry of the log, within one generation. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Positions of another generation mean nothing to readers.
    pub generation: Generation,
    /// The entry.
    pub index: LogIndex,
}

impl Position {
    /// Before everything.
    pub const START: Position = Position { generation: Generation(0), index: LogIndex(0) };

    /// The position right after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self { index: self.index.next(), ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.index)
    }
}

/// One life of a worker process. Ordered: a later start is greater; the nonce tells two starts of one millisecond apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Incarnation {
    /// Wall time of the start, in milliseconds.
    pub started_ms: u64,
    /// Drawn at random at the start.
    pub nonce: u64,
}

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {shown:?}: {why}")]
pub struct InvalidName {
    what: &'static str,
    shown: String,
    why: String,
}

pub(crate) fn invalid(what: &'static str, text: &str, why: impl Into<String>) -> InvalidName {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    InvalidName { what, shown, why: why.into() }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the published rules of this kind of name.
            ///
            /// # Errors
            /// [`InvalidName`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                $check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text as the user wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Name of an application: 1–253 characters of `A-Z a-z 0-9 - _ .`, not starting with `.` or `-`, without `..`.
    AppName, "application name", check_app_name
}
name! {
    /// Id of a session as its client chose it: 1–253 bytes, any text without control characters, `/`, `\` or `..`
    /// that does not start with `.`. (The published server takes any text and lets it walk the file system.)
    SessionId, "session id", check_session_id
}
name! {
    /// Name of a worker: the same rules as an application's.
    NodeName, "node name", check_app_name
}

fn check_length(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(invalid(what, text, "it must not be empty"));
    }
    if text.len() > limits::NAME_BYTES_MAX {
        let why = format!("it has {} bytes, at most {} are allowed", text.len(), limits::NAME_BYTES_MAX);
        return Err(invalid(what, text, why));
    }
    Ok(())
}

fn check_app_name(what: &'static str, text: &str) -> Result<(), InvalidName> {
    check_length(what, text)?;
    if text.contains("..") || text.contains('/') || text.contains('\\') {
        return Err(invalid(what, text, "it must not contain '..', '/' or '\\'"));
    }
    if text.starts_with('.') || text.starts_with('-') {
        return Err(invalid(what, text, "it must not start with '.' or '-'"));
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(invalid(what, text, "only letters, digits, '-', '_' and '.' are allowed"));
    }
    Ok(())
}

fn check_session_id(what: &'static str, text: &str) -> Result<(), InvalidName> {
    check_length(what, text)?;
    if text.contains("..") || text.contains('/') || text.contains('\\') {
        return Err(invalid(what, text, "it must not contain '..', '/' or '\\'"));
    }
    if text.starts_with('.') {
        return Err(invalid(what, text, "it must not start with '.'"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(what, text, "it must not contain control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_names_follow_the_published_rules() {
        for good in ["flmping", "a", "my-app_1.2", &"x".repeat(253)] {
            assert!(AppName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a..b", "a/b", "a\\b", ".a", "-a", "a b", "ä", &"x".repeat(254)] {
            assert!(AppName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn session_ids_are_free_text_that_cannot_be_a_path() {
        for good in ["app-Ab12Cd", "user@host:1", "Größe 1", "1"] {
            assert!(SessionId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "a/b", "a\\b", ".hidden", "a\nb", &"x".repeat(10_000_000)] {
            let error = SessionId::parse(bad).unwrap_err();
            assert!(error.to_string().len() < 300, "a hostile id must not be echoed whole");
        }
    }
}
