//! Retry policies, which are fields of our own in published messages.

use flame_types::{Retries, Retry};

use crate::v1;

impl From<v1::Retries> for Retries {
    fn from(wire: v1::Retries) -> Self {
        let part = |part: Option<v1::Retry>| part.map(Retry::from).unwrap_or_default();
        Self {
            lost: part(wire.lost),
            crashed: part(wire.crashed),
            refused: part(wire.refused),
            failed: part(wire.failed),
        }
    }
}

impl From<v1::Retry> for Retry {
    fn from(wire: v1::Retry) -> Self {
        Self { starts_max: wire.starts_max, backoff_ms: wire.backoff_ms, backoff_ms_max: wire.backoff_ms_max }
    }
}

impl From<Retries> for v1::Retries {
    /// A cause of which nothing is said is absent.
    fn from(retries: Retries) -> Self {
        let part = |part: Retry| (part != Retry::default()).then(|| part.into());
        let Retries { lost, crashed, refused, failed } = retries;
        Self { lost: part(lost), crashed: part(crashed), refused: part(refused), failed: part(failed) }
    }
}

impl From<Retry> for v1::Retry {
    fn from(retry: Retry) -> Self {
        let Retry { starts_max, backoff_ms, backoff_ms_max } = retry;
        Self { starts_max, backoff_ms, backoff_ms_max }
    }
}

/// The field, which is absent when nothing is asked for: so published messages stay as they were published.
pub(super) fn shown_retries(retries: Retries) -> Option<v1::Retries> {
    (!retries.is_default()).then(|| retries.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_survives_alone() {
        let none = v1::Retry::default();
        for retry in [
            v1::Retry { starts_max: Some(0), ..none },
            v1::Retry { starts_max: Some(3), ..none },
            v1::Retry { backoff_ms: Some(0), ..none },
            v1::Retry { backoff_ms_max: Some(7), ..none },
        ] {
            for wire in [
                v1::Retries { lost: Some(retry), ..Default::default() },
                v1::Retries { crashed: Some(retry), ..Default::default() },
                v1::Retries { refused: Some(retry), ..Default::default() },
                v1::Retries { failed: Some(retry), ..Default::default() },
            ] {
                assert_eq!(v1::Retries::from(Retries::from(wire)), wire);
            }
        }
    }

    #[test]
    fn asking_for_nothing_is_not_shown() {
        assert_eq!(shown_retries(Retries::default()), None);
        let empty = v1::Retries { failed: Some(v1::Retry::default()), ..Default::default() };
        assert_eq!(shown_retries(Retries::from(empty)), None);
    }
}
