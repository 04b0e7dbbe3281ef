//! How often something is tried again, by the cause for which it came to nothing.
//!
//! A policy is asked for in three places, the narrower before the wider: a session, its application, the cluster. What a
//! narrower one leaves unset is as the next wider one says; the cluster leaves nothing unset ([`RetryLimits`]).
//!
//! **Invariant:** every cause has a count, a limit and a wait of its own: a task that has lost its worker three times may
//! still crash its service as often as one that never did.
//!
//! **Invariant:** waits are cluster time: while nobody leads, nobody waits in vain.

use serde::{Deserialize, Serialize};

/// Why a start came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RetryCause {
    /// The worker was lost, or the service ended under the task through no fault of the task. Counted for each task.
    Lost,
    /// The service died while it worked on the task. Counted for each task.
    Crashed,
    /// An executor could not enter its session: the installation, the start or `OnSessionEnter` failed. Counted for each
    /// session, in a row; no task loses a start by it.
    Refused,
    /// The service answered with a failure, or the task ran longer than its timeout. Counted for each task.
    Failed,
}

impl RetryCause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Crashed, Self::Refused, Self::Failed];

    /// As it is written: in policies, in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Crashed => "crashed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What a session or an application asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retries {
    /// For [`RetryCause::Lost`].
    pub lost: Retry,
    /// For [`RetryCause::Crashed`].
    pub crashed: Retry,
    /// For [`RetryCause::Refused`].
    pub refused: Retry,
    /// For [`RetryCause::Failed`].
    pub failed: Retry,
}

/// What is asked for one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// Most starts that may come to nothing for this cause; with 1 nothing is tried again.
    pub starts_max: Option<u32>,
    /// Wait after the first of them, in milliseconds; doubles with each further one.
    pub backoff_ms: Option<u64>,
    /// Longest such wait, in milliseconds.
    pub backoff_ms_max: Option<u64>,
}

/// What holds in the end: nothing is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryLimits {
    /// For [`RetryCause::Lost`].
    pub lost: RetryLimit,
    /// For [`RetryCause::Crashed`].
    pub crashed: RetryLimit,
    /// For [`RetryCause::Refused`].
    pub refused: RetryLimit,
    /// For [`RetryCause::Failed`].
    pub failed: RetryLimit,
}

/// What holds for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryLimit {
    /// Most starts that may come to nothing for this cause.
    pub starts_max: u32,
    /// Wait after the first of them, in milliseconds; doubles with each further one.
    pub backoff_ms: u64,
    /// Longest such wait, in milliseconds.
    pub backoff_ms_max: u64,
}

/// Why a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetries {
    /// Nothing could ever start.
    #[error("retry: {cause}.starts_max must be at least 1; with 1 nothing is tried again", cause = .0.name())]
    NoStart(RetryCause),
    /// The first wait would be longer than the longest.
    #[error(
        "retry: {cause}.backoff_ms cannot be {backoff_ms} when {cause}.backoff_ms_max is {backoff_ms_max}",
        cause = .cause.name()
    )]
    BackoffAboveMaximum { cause: RetryCause, backoff_ms: u64, backoff_ms_max: u64 },
}

impl Retries {
    /// What is asked for one cause.
    #[must_use]
    pub fn of(&self, cause: RetryCause) -> Retry {
        match cause {
            RetryCause::Lost => self.lost,
            RetryCause::Crashed => self.crashed,
            RetryCause::Refused => self.refused,
            RetryCause::Failed => self.failed,
        }
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what a session or an application asks for.
    ///
    /// # Errors
    /// [`InvalidRetries`] says what cannot be meant.
    pub fn check(&self) -> Result<(), InvalidRetries> {
        for cause in RetryCause::ALL {
            let Retry { starts_max, backoff_ms, backoff_ms_max } = self.of(cause);
            check(cause, starts_max.unwrap_or(1), backoff_ms.unwrap_or(0), backoff_ms_max.unwrap_or(u64::MAX))?;
        }
        Ok(())
    }

    /// This policy, and `wider` where it says nothing.
    #[must_use]
    pub fn or(self, wider: RetryLimits) -> RetryLimits {
        RetryLimits {
            lost: self.lost.or(wider.lost),
            crashed: self.crashed.or(wider.crashed),
            refused: self.refused.or(wider.refused),
            failed: self.failed.or(wider.failed),
        }
    }
}

impl Retry {
    /// A first wait above the wider maximum raises that: who asks for a minute has said that a minute is not too long. And
    /// a maximum below the wider first wait lowers that.
    fn or(self, wider: RetryLimit) -> RetryLimit {
        let starts_max = self.starts_max.unwrap_or(wider.starts_max);
        let (backoff_ms, backoff_ms_max) = match (self.backoff_ms, self.backoff_ms_max) {
            (Some(first), Some(longest)) => (first, longest),
            (Some(first), None) => (first, wider.backoff_ms_max.max(first)),
            (None, Some(longest)) => (wider.backoff_ms.min(longest), longest),
            (None, None) => (wider.backoff_ms, wider.backoff_ms_max),
        };
        RetryLimit { starts_max, backoff_ms, backoff_ms_max }
    }
}

impl RetryLimits {
    /// What holds in a cluster unless its operator says otherwise. A failure that a service has answered with is a result
    /// and is not tried again (published), nor is an executor that has been refused five times in a row (published).
    pub const CLUSTER: Self = Self {
        lost: RetryLimit { starts_max: 8, ..RetryLimit::QUICK },
        crashed: RetryLimit { starts_max: 3, ..RetryLimit::QUICK },
        refused: RetryLimit { starts_max: 5, ..RetryLimit::QUICK },
        failed: RetryLimit { starts_max: 1, ..RetryLimit::QUICK },
    };

    /// What holds for one cause.
    #[must_use]
    pub fn of(&self, cause: RetryCause) -> RetryLimit {
        match cause {
            RetryCause::Lost => self.lost,
            RetryCause::Crashed => self.crashed,
            RetryCause::Refused => self.refused,
            RetryCause::Failed => self.failed,
        }
    }

    /// Checks the limits of a cluster.
    ///
    /// # Errors
    /// [`InvalidRetries`] says what cannot be meant.
    pub fn check(&self) -> Result<(), InvalidRetries> {
        RetryCause::ALL.into_iter().try_for_each(|cause| {
            let RetryLimit { starts_max, backoff_ms, backoff_ms_max } = self.of(cause);
            check(cause, starts_max, backoff_ms, backoff_ms_max)
        })
    }
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self::CLUSTER
    }
}

impl RetryLimit {
    const QUICK: Self = Self { starts_max: 1, backoff_ms: 200, backoff_ms_max: 10_000 };

    /// The wait after so many starts that came to nothing.
    #[must_use]
    pub fn wait_ms(&self, starts: u32) -> u64 {
        doubled(self.backoff_ms, starts, self.backoff_ms_max)
    }
}

/// `first` for the first time, doubled with each further one, at most `max`.
#[must_use]
pub fn doubled(first: u64, times: u32, max: u64) -> u64 {
    const SHIFT_MAX: u32 = 40;
    let shift = times.saturating_sub(1).min(SHIFT_MAX);
    first.saturating_mul(1 << shift).min(max)
}

fn check(cause: RetryCause, starts_max: u32, backoff_ms: u64, backoff_ms_max: u64) -> Result<(), InvalidRetries> {
    if starts_max == 0 {
        return Err(InvalidRetries::NoStart(cause));
    }
    if backoff_ms > backoff_ms_max {
        return Err(InvalidRetries::BackoffAboveMaximum { cause, backoff_ms, backoff_ms_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_policy_comes_first_part_by_part() {
        let wide = RetryLimits::CLUSTER;
        assert_eq!(Retries::default().or(wide), wide);
        let app = Retries { failed: Retry { starts_max: Some(4), ..Retry::default() }, ..Retries::default() };
        let session = Retries { failed: Retry { backoff_ms: Some(50), ..Retry::default() }, ..Retries::default() };
        let both = session.or(app.or(wide));
        assert_eq!(both, RetryLimits { failed: RetryLimit { starts_max: 4, backoff_ms: 50, ..wide.failed }, ..wide });
    }

    #[test]
    fn a_wait_fits_its_maximum_whoever_says_which() {
        let wide = RetryLimits::CLUSTER.lost;
        let long = Retry { backoff_ms: Some(60_000), ..Retry::default() }.or(wide);
        assert_eq!((long.backoff_ms, long.backoff_ms_max), (60_000, 60_000));
        let short = Retry { backoff_ms_max: Some(10), ..Retry::default() }.or(wide);
        assert_eq!((short.backoff_ms, short.backoff_ms_max), (10, 10));
    }

    #[test]
    fn waits_double_up_to_their_maximum() {
        let limit = RetryLimit { starts_max: 9, backoff_ms: 200, backoff_ms_max: 1_000 };
        let waits: Vec<u64> = (0..6).map(|starts| limit.wait_ms(starts)).collect();
        assert_eq!(waits, [200, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(RetryLimit { backoff_ms_max: u64::MAX, ..limit }.wait_ms(u32::MAX), 200 << 40);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(RetryLimits::CLUSTER.check(), Ok(()));
        assert_eq!(Retries::default().check(), Ok(()));
        for cause in RetryCause::ALL {
            let none = Retry { starts_max: Some(0), ..Retry::default() };
            let mut retries = Retries::default();
            match cause {
                RetryCause::Lost => retries.lost = none,
                RetryCause::Crashed => retries.crashed = none,
                RetryCause::Refused => retries.refused = none,
                RetryCause::Failed => retries.failed = none,
            }
            let error = retries.check().unwrap_err();
            assert_eq!(error, InvalidRetries::NoStart(cause));
            assert!(error.to_string().contains(cause.name()), "{error}");
        }
        let lost = Retry { backoff_ms: Some(2), backoff_ms_max: Some(1), ..Retry::default() };
        let error = Retries { lost, ..Retries::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "retry: lost.backoff_ms cannot be 2 when lost.backoff_ms_max is 1");
    }
}
