//! How long ended things are kept.
//!
//! A policy is asked for in three places, the narrower before the wider: a session, its application, the cluster. What a
//! narrower one leaves unset is as the next wider one says; what even the cluster leaves unset is not limited.
//!
//! **Invariant:** ages are cluster time: while nobody leads, nothing grows old.

use serde::{Deserialize, Serialize};

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
const GIB: u64 = 1 << 30;

/// What is kept of what has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retention {
    /// Finished tasks of a session that is not closed.
    pub tasks: TaskRetention,
    /// Closed sessions, with all their tasks.
    pub closed: ClosedRetention,
}

/// How long the finished tasks of a session are kept while it is not closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskRetention {
    /// They leave at this age, in milliseconds.
    pub age_ms: Option<u64>,
    /// None leaves before this age, in milliseconds, however many there are.
    pub age_ms_min: Option<u64>,
    /// Most tasks of one session, kept or still to be run. Before the limit is reached the oldest finished ones leave;
    /// at the limit Submit is refused.
    pub count: Option<u64>,
    /// Most bytes of inputs, outputs and messages of one session. As with `count`.
    pub bytes: Option<u64>,
}

/// How long closed sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClosedRetention {
    /// They leave at this age, in milliseconds since they were closed.
    pub age_ms: Option<u64>,
    /// Most closed sessions, of the application or of the cluster; the oldest leave first. Not for a single session.
    pub count: Option<u64>,
    /// Most bytes that they keep together; the oldest leave first. Not for a single session.
    pub bytes: Option<u64>,
}

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetention {
    /// Nothing could be kept at all.
    #[error("retention: {0} must be at least 1")]
    Zero(&'static str),
    /// Only many sessions together have such a limit.
    #[error("retention: {0} is for applications and the cluster, not for one session")]
    NotForOneSession(&'static str),
    /// Tasks would have to leave before they may.
    #[error("retention: tasks cannot leave at an age of {age_ms} ms when none may before {age_ms_min} ms")]
    AgeBelowMinimum { age_ms: u64, age_ms_min: u64 },
}

impl Retention {
    /// What a cluster keeps unless its operator says otherwise: finished tasks for a week, an hour at least, 100 million
    /// and 16 GiB of them per session; closed sessions for a week, 100,000 and 64 GiB of them.
    pub const CLUSTER: Retention = Retention {
        tasks: TaskRetention {
            age_ms: Some(7 * DAY_MS),
            age_ms_min: Some(HOUR_MS),
            count: Some(100_000_000),
            bytes: Some(16 * GIB),
        },
        closed: ClosedRetention { age_ms: Some(7 * DAY_MS), count: Some(100_000), bytes: Some(64 * GIB) },
    };

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the policy of an application or of the cluster.
    ///
    /// # Errors
    /// [`InvalidRetention`] says what cannot be meant.
    pub fn check(&self) -> Result<(), InvalidRetention> {
        let limits = [
            ("tasks.count", self.tasks.count),
            ("tasks.bytes", self.tasks.bytes),
            ("closed.count", self.closed.count),
            ("closed.bytes", self.closed.bytes),
        ];
        if let Some((name, _)) = limits.into_iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(InvalidRetention::Zero(name));
        }
        match (self.tasks.age_ms, self.tasks.age_ms_min) {
            (Some(age_ms), Some(age_ms_min)) if age_ms < age_ms_min => {
                Err(InvalidRetention::AgeBelowMinimum { age_ms, age_ms_min })
            }
            _ => Ok(()),
        }
    }

    /// Checks the policy of one session.
    ///
    /// # Errors
    /// [`InvalidRetention`] says what cannot be meant.
    pub fn check_session(&self) -> Result<(), InvalidRetention> {
        self.check()?;
        match self.closed {
            ClosedRetention { count: Some(_), .. } => Err(InvalidRetention::NotForOneSession("closed.count")),
            ClosedRetention { bytes: Some(_), .. } => Err(InvalidRetention::NotForOneSession("closed.bytes")),
            ClosedRetention { count: None, bytes: None, .. } => Ok(()),
        }
    }
}

impl TaskRetention {
    /// This policy, and `wider` where it says nothing.
    ///
    /// A narrower age below the wider minimum lowers that minimum: who asks for results to leave after a minute has said
    /// that a minute is enough.
    #[must_use]
    pub fn or(self, wider: Self) -> Self {
        let minimum = match (self.age_ms, wider.age_ms_min) {
            (Some(age), Some(minimum)) => Some(minimum.min(age)),
            (_, minimum) => minimum,
        };
        Self {
            age_ms: self.age_ms.or(wider.age_ms),
            age_ms_min: self.age_ms_min.or(minimum),
            count: self.count.or(wider.count),
            bytes: self.bytes.or(wider.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_policy_comes_first() {
        let wide = Retention::CLUSTER.tasks;
        assert_eq!(TaskRetention::default().or(wide), wide);
        let narrow = TaskRetention { count: Some(7), ..TaskRetention::default() };
        assert_eq!(narrow.or(wide), TaskRetention { count: Some(7), ..wide });
    }

    #[test]
    fn a_shorter_age_says_that_it_is_enough() {
        let short = TaskRetention { age_ms: Some(60_000), ..TaskRetention::default() };
        assert_eq!(short.or(Retention::CLUSTER.tasks).age_ms_min, Some(60_000));
        let own = TaskRetention { age_ms_min: Some(5), ..short };
        assert_eq!(own.or(Retention::CLUSTER.tasks).age_ms_min, Some(5));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(Retention::CLUSTER.check(), Ok(()));
        assert_eq!(Retention::default().check_session(), Ok(()));
        let mut none = Retention::default();
        none.tasks.count = Some(0);
        assert_eq!(none.check(), Err(InvalidRetention::Zero("tasks.count")));
        let mut early = Retention::CLUSTER;
        early.tasks.age_ms = Some(1);
        assert!(matches!(early.check(), Err(InvalidRetention::AgeBelowMinimum { age_ms: 1, .. })));
        let mut many = Retention::default();
        many.closed.bytes = Some(1);
        assert_eq!(many.check(), Ok(()));
        assert_eq!(many.check_session(), Err(InvalidRetention::NotForOneSession("closed.bytes")));
    }
}
