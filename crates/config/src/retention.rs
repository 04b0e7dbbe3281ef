//! `coordinator.retention`: how long ended things are kept, unless an application or a session says otherwise.

use flame_types::{ClosedRetention, Retention, TaskRetention};

use crate::cluster::ClusterSection;
use crate::coordinator::memory;
use crate::error::ConfigError;
use crate::layers::Layers;

/// The policy of the cluster, and the most bytes that all sessions keep together.
pub(crate) fn build(layers: &Layers, cluster: &ClusterSection) -> Result<(Retention, u64), ConfigError> {
    let age_ms = |key: &'static str| {
        let age = layers.get(key).duration()?;
        Ok::<_, ConfigError>(Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    };
    let retention = Retention {
        tasks: TaskRetention {
            age_ms: age_ms("coordinator.retention.task_age")?,
            age_ms_min: age_ms("coordinator.retention.task_age_min")?,
            count: Some(layers.get("coordinator.retention.task_count").number(1)?),
            bytes: Some(layers.get("coordinator.retention.task_bytes").parse_set(memory)?),
        },
        closed: ClosedRetention {
            age_ms: age_ms("coordinator.retention.closed_age")?,
            count: Some(u64::from(cluster.closed_sessions_max)),
            bytes: Some(layers.get("coordinator.retention.closed_bytes").parse_set(memory)?),
        },
    };
    retention.check().map_err(|error| ConfigError::Conflict(format!("coordinator.retention: {error}")))?;
    Ok((retention, layers.get("coordinator.retention.total_bytes").parse_set(memory)?))
}
