//! `coordinator.retry` and `coordinator.avoid`: how often something is tried again unless an application or a session says
//! otherwise, and when a worker on which executors fail to start is avoided.

use flame_types::{RetryLimit, RetryLimits};

use crate::cluster::ClusterSection;
use crate::error::ConfigError;
use crate::layers::Layers;

/// When a worker is avoided, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvoidanceSection {
    /// Executors in a row that failed to start there.
    pub failures: u32,
    /// How long at first, in milliseconds; doubles each time.
    pub backoff_ms: u64,
    /// How long at most, in milliseconds.
    pub backoff_ms_max: u64,
}

/// The limits of the cluster. How often an executor may be refused is a published key.
pub(crate) fn build(layers: &Layers, cluster: &ClusterSection) -> Result<RetryLimits, ConfigError> {
    let limit = |starts_max: u32, backoff: &'static str, longest: &'static str| {
        let (backoff_ms, backoff_ms_max) = (milliseconds(layers, backoff)?, milliseconds(layers, longest)?);
        Ok::<_, ConfigError>(RetryLimit { starts_max, backoff_ms, backoff_ms_max })
    };
    let starts = |key: &'static str| layers.get(key).number(1);
    let limits = RetryLimits {
        lost: limit(
            starts("coordinator.retry.lost_starts")?,
            "coordinator.retry.lost_backoff",
            "coordinator.retry.lost_backoff_max",
        )?,
        crashed: limit(
            starts("coordinator.retry.crashed_starts")?,
            "coordinator.retry.crashed_backoff",
            "coordinator.retry.crashed_backoff_max",
        )?,
        refused: limit(
            cluster.bind_failures_max,
            "coordinator.retry.refused_backoff",
            "coordinator.retry.refused_backoff_max",
        )?,
        failed: limit(
            starts("coordinator.retry.failed_starts")?,
            "coordinator.retry.failed_backoff",
            "coordinator.retry.failed_backoff_max",
        )?,
    };
    limits.check().map_err(|error| ConfigError::Conflict(format!("coordinator.{error}")))?;
    Ok(limits)
}

impl AvoidanceSection {
    pub(crate) fn build(layers: &Layers) -> Result<Self, ConfigError> {
        let section = Self {
            failures: layers.get("coordinator.avoid.failures").number(1)?,
            backoff_ms: milliseconds(layers, "coordinator.avoid.backoff")?,
            backoff_ms_max: milliseconds(layers, "coordinator.avoid.backoff_max")?,
        };
        if section.backoff_ms > section.backoff_ms_max {
            let why = "coordinator.avoid.backoff must not be longer than coordinator.avoid.backoff_max";
            return Err(ConfigError::Conflict(why.to_owned()));
        }
        Ok(section)
    }
}

fn milliseconds(layers: &Layers, key: &'static str) -> Result<u64, ConfigError> {
    let length = layers.get(key).duration()?;
    Ok(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}
