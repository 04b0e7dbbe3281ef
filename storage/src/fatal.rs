//! How storage stops the process.
//!
//! After a failed write or sync the content of the disk is unknown; the page cache may show what the disk lacks. The
//! only safe thing is to end the process and look at the disk again when it starts. Storage cannot do that itself, so
//! it raises the one flag the process waits on.

use std::sync::Arc;

use tokio::sync::watch;

/// Raised once. Cheap to clone; all clones are the same flag.
#[derive(Clone, Debug)]
pub struct Fatal(Arc<watch::Sender<Option<String>>>);

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

    /// Raises the flag. The first cause stays.
    pub fn raise(&self, cause: impl Into<String>) {
        let cause = cause.into();
        self.0.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            tracing::error!(%cause, "storage stops: the outcome of a write is unknown");
            *current = Some(cause);
            true
        });
    }

    /// Why it was raised, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until it is raised. Cancel safe.
    pub async fn raised(&self) -> String {
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
        fatal.raise("later trouble");
        assert_eq!(waiter.await.unwrap(), "disk gone");
        assert_eq!(fatal.cause().as_deref(), Some("disk gone"));
    }
}
