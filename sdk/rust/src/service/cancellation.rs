//! How a running task hears that nobody wants it any more.

use tokio_util::sync::CancellationToken;

/// Whether anybody still wants a task. Clones speak of the same task.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    token: CancellationToken,
}

impl Cancellation {
    /// Whether nobody wants the task any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until nobody wants the task any more; for ever if somebody does.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    pub(super) fn cancel(&self) {
        self.token.cancel();
    }
}
