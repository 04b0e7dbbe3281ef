//! How storage stops the process.
//!
//! After a failed write or sync the content of the disk is unknown; the page cache may show what the disk lacks. What
//! reads as damaged will read so again, and the next thing that is read may be wrong in a way that no checksum shows.
//! The only safe thing is to end the process and look at the disk again when it starts. Storage cannot do that itself,
//! so it raises the one flag the process waits on, with a [`Cause`] that says what to do then.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a process must end, by what the operator can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The disk failed: the outcome of a write is unknown, or something cannot be read. Look at the disk, start again.
    #[error("{0}")]
    Failed(String),
    /// Rows do not read as they were written. Starting again shows the same; they can be made again.
    #[error("{0}")]
    DamagedRows(String),
    /// The log does not read as it was written. Starting again shows the same; only peers have what it held.
    #[error("{0}")]
    DamagedLog(String),
    /// Next to nothing is left of the disk, and no write has failed yet. Free some, start again.
    #[error("{0}")]
    Full(String),
    /// The cluster knows another disk under this node's id. This one has promised nothing and must not vote.
    #[error("{0}")]
    Replaced(String),
    /// A peer remembers more of this disk than it holds: it is an old copy. It must not vote.
    #[error("{0}")]
    RolledBack(String),
    /// The cluster runs at a feature level that this build does not understand. Starting it again shows the same.
    #[error("{0}")]
    Outdated(String),
    /// The cluster has removed this node.
    #[error("{0}")]
    Removed(String),
}

/// Raised once. Cheap to clone; all clones are the same flag.
#[derive(Clone, Debug)]
pub struct Fatal(Arc<watch::Sender<Option<Cause>>>);

impl Default for Fatal {
    fn default() -> Self {
        Self::new()
    }
}

impl Fatal {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Raises the flag because the disk failed. The first cause stays.
    pub fn raise(&self, why: impl Into<String>) {
        self.raise_as(Cause::Failed(why.into()));
    }

    /// Raises the flag. The first cause stays.
    pub fn raise_as(&self, cause: Cause) {
        self.0.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            tracing::error!(?cause, "this node stops");
            *current = Some(cause);
            true
        });
    }

    /// Why it was raised, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.0.borrow().clone()
    }

    /// Waits until it is raised. Cancel safe.
    pub async fn raised(&self) -> Cause {
        let mut receiver = self.0.subscribe();
        loop {
            if let Some(cause) = receiver.borrow_and_update().clone() {
                return cause;
            }
            if receiver.changed().await.is_err() {
                // Unreachable while `self` holds the sender; waiting for ever is the right answer for "never raised".
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_cause_stays_and_every_clone_sees_it() {
        let fatal = Fatal::new();
        let waiter = tokio::spawn({
            let fatal = fatal.clone();
            async move { fatal.raised().await }
        });
        assert_eq!(fatal.cause(), None);
        fatal.clone().raise("disk gone");
        fatal.raise_as(Cause::DamagedLog("later trouble".into()));
        let disk_gone = Cause::Failed("disk gone".into());
        assert_eq!(waiter.await.unwrap(), disk_gone);
        assert_eq!(fatal.cause(), Some(disk_gone));
    }
}
