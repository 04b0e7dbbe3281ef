//! All coordinators killed at once, in the middle of a run.

use anyhow::Result;
use flame_testkit::ClusterOptions;

use crate::scenes::{everything_is_there, in_full_swing};

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_task_survives_a_kill_of_all_coordinators() -> Result<()> {
    let (mut run, submitting) = in_full_swing(ClusterOptions::default()).await?;
    run.cluster.kill_all_coordinators().await?;
    run.cluster.start_all_coordinators().await?;
    run.cluster.leader().await?;
    everything_is_there(run, submitting).await
}
