//! What may be asked of a task.

use std::sync::Arc;
use std::time::Duration;

use flame_types::TaskOptions as Wishes;

/// What is asked of a task beside its input. Cheap to clone; tasks that share their options travel together.
///
/// ```
/// use std::time::Duration;
///
/// use flame_sdk::TaskOptions;
///
/// let urgent = TaskOptions::new().priority(10).timeout(Duration::from_secs(30)).affinity("model-7b");
/// # assert_eq!(format!("{urgent:?}"), format!("{:?}", urgent.clone()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskOptions(Arc<Wishes>);

impl TaskOptions {
    /// Nothing in particular: first come, first served, with the limits of the session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tasks with a higher priority go first inside their session; 0 unless said otherwise.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.change().priority = priority;
        self
    }

    /// The task fails when it runs longer; its session's limit unless said otherwise. It must be more than nothing.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let ms = timeout.as_nanos().div_ceil(1_000_000);
        self.change().timeout_ms = Some(u64::try_from(ms).unwrap_or(u64::MAX));
        self
    }

    /// The task prefers an executor that publishes this key; may be called again for further keys.
    #[must_use]
    pub fn affinity(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.change().affinity.push(key.into());
        self
    }

    fn change(&mut self) -> &mut Wishes {
        Arc::make_mut(&mut self.0)
    }

    /// As a stream takes them.
    pub(super) fn wishes(&self) -> &Arc<Wishes> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_was_said_and_clones_do_not_change_with_them() {
        let plain = TaskOptions::new();
        let asked = plain.clone().priority(-3).timeout(Duration::from_micros(1)).affinity("a").affinity(vec![0]);
        let expected = Wishes { affinity: vec![b"a".to_vec(), vec![0]], priority: -3, timeout_ms: Some(1) };
        assert_eq!(**asked.wishes(), expected);
        assert!(plain.wishes().is_default());
    }
}
