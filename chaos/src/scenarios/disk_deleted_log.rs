//! `disk-deleted-log`: the log of a coordinator is gone when it is started again.
//!
//! It would have forgotten what it has voted and what it has acknowledged, so it must not take part.

use anyhow::{Context, Result};
use flame_testkit::ClusterOptions;

use super::disk_trouble::{DAMAGED, Options, QUARANTINE, Scene};
use super::report::Report;

const NAME: &str = "disk-deleted-log";

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let mut scene = Scene::start(NAME, ClusterOptions::default()).await?;
    for victim in options.victims() {
        let id = scene.victim(victim).await?;
        scene.run.cluster.kill_coordinator(id).await?;
        let log = scene.run.cluster.data_at_rest(id)?.join("log");
        let aside = log.with_file_name("log-that-was-deleted");
        std::fs::rename(&log, &aside).context("put the log aside")?;
        scene.does_not_stay(id, &[DAMAGED, QUARANTINE], "its log is gone").await?;
        if log.exists() {
            std::fs::remove_dir_all(&log).context("remove what was made in its place")?;
        }
        std::fs::rename(&aside, &log).context("put the log back")?;
        scene.returns(id).await?;
    }
    scene.report().await
}
