//! `disk-fsync`: syncs of a coordinator fail, one of them or all from now on.
//!
//! What the last write left is unknown then, so the coordinator must stop at once and must not try again. Whatever was
//! acknowledged must be there afterwards, on it as well.

use anyhow::{Context, Result};
use flame_testkit::ClusterOptions;

use super::disk_trouble::{Options, STORAGE_FAILED, Scene};
use super::report::Report;
use crate::probe;
use crate::tracer::{Fault, Tracer};

const NAME: &str = "disk-fsync";

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    if let Err(reason) = probe::debugger() {
        return Ok(Report::skipped(NAME, reason));
    }
    let mut scene = Scene::start(NAME, ClusterOptions::default()).await?;
    for victim in options.victims() {
        for (fault, what) in [(Fault::FailOnce, "a sync has failed"), (Fault::Fail, "all syncs fail")] {
            let id = scene.victim(victim).await?;
            let pid = scene.run.cluster.coordinator_pid(id).context("the coordinator runs")?;
            let tracer = Tracer::attach(pid, fault)?;
            scene.ends(id, &[STORAGE_FAILED], what).await?;
            drop(tracer);
            scene.returns(id).await?;
        }
    }
    scene.report().await
}
