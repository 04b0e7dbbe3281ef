//! `disk-old-copy`: a coordinator is started with a copy of its disk from some time ago.
//!
//! It would vote again where it has voted, and deny what it has acknowledged. Its own files are as old as it is, so its peers
//! must notice.

use anyhow::Result;
use flame_testkit::ClusterOptions;

use super::disk_trouble::{Options, QUARANTINE, Scene};
use super::report::Report;

const NAME: &str = "disk-old-copy";

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let mut scene = Scene::start(NAME, ClusterOptions::default()).await?;
    let copies = tempfile::tempdir()?;
    // Of everybody, since nobody knows who will lead when the copies are old.
    for id in scene.run.cluster.coordinator_ids() {
        scene.run.cluster.stop_coordinator(id).await?;
        scene.run.cluster.copy_data(id, &copies.path().join(id.to_string()))?;
        scene.returns(id).await?;
    }
    for (number, victim) in options.victims().into_iter().enumerate() {
        let id = scene.victim(victim).await?;
        scene.run.cluster.kill_coordinator(id).await?;
        let own = copies.path().join(format!("own-{number}"));
        scene.run.cluster.copy_data(id, &own)?;
        scene.run.cluster.restore_data(id, &copies.path().join(id.to_string()))?;
        scene.does_not_stay(id, &[QUARANTINE], "its disk is an old copy").await?;
        scene.run.cluster.restore_data(id, &own)?;
        scene.returns(id).await?;
    }
    scene.report().await
}
