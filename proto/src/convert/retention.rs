//! Retention, which is a field of our own in published messages.

use flame_types::{ClosedRetention, Retention, TaskRetention};

use crate::v1;

impl From<v1::Retention> for Retention {
    fn from(wire: v1::Retention) -> Self {
        Self {
            tasks: TaskRetention {
                age_ms: wire.task_age_ms,
                age_ms_min: wire.task_age_ms_min,
                count: wire.task_count,
                bytes: wire.task_bytes,
            },
            closed: ClosedRetention { age_ms: wire.closed_age_ms, count: wire.closed_count, bytes: wire.closed_bytes },
        }
    }
}

impl From<Retention> for v1::Retention {
    fn from(retention: Retention) -> Self {
        let Retention { tasks, closed } = retention;
        Self {
            task_age_ms: tasks.age_ms,
            task_age_ms_min: tasks.age_ms_min,
            task_count: tasks.count,
            task_bytes: tasks.bytes,
            closed_age_ms: closed.age_ms,
            closed_count: closed.count,
            closed_bytes: closed.bytes,
        }
    }
}

/// The field, which is absent when nothing is asked for: so published messages stay as they were published.
pub(super) fn shown_retention(retention: Retention) -> Option<v1::Retention> {
    (!retention.is_default()).then(|| retention.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_survives_alone() {
        let none = v1::Retention::default();
        for wire in [
            v1::Retention { task_age_ms: Some(1), ..none },
            v1::Retention { task_age_ms_min: Some(0), ..none },
            v1::Retention { task_count: Some(3), ..none },
            v1::Retention { task_bytes: Some(4), ..none },
            v1::Retention { closed_age_ms: Some(5), ..none },
            v1::Retention { closed_count: Some(6), ..none },
            v1::Retention { closed_bytes: Some(7), ..none },
        ] {
            assert_eq!(v1::Retention::from(Retention::from(wire)), wire);
        }
    }

    #[test]
    fn asking_for_nothing_is_not_shown() {
        assert_eq!(shown_retention(Retention::default()), None);
        assert!(shown_retention(Retention::CLUSTER).is_some());
    }
}
