//! `disk-full`: a disk fills up, then two of them.
//!
//! A coordinator with next to nothing left must stop before a write can fail, and the others go on. When no majority has room
//! left, nothing may be taken in any more; once one has, it is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::{ClusterOptions, wait_until};

use super::disk_trouble::{COORDINATORS, DISK_FULL, Options, Scene};
use super::report::Report;
use crate::disks::Disks;
use crate::probe;
use crate::run::probe::Probe;

const NAME: &str = "disk-full";

/// Large beside what a run writes, small beside the disks.
const FLOOR: u64 = 256 << 20;

/// A coordinator stops when less is left than this.
const BOTTOM: u64 = FLOOR / 16;

/// How long a submit waits for its acknowledgement.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// For the cluster to notice how its disks stand.
const NOTICE_LIMIT: Duration = Duration::from_secs(60);

/// Plays it.
///
/// # Errors
/// If the cluster or its disks do not come back.
pub async fn run(options: Options) -> Result<Report> {
    if let Err(reason) = probe::power_cut() {
        return Ok(Report::skipped(NAME, reason));
    }
    let disks = Disks::make(COORDINATORS)?;
    let environment = vec![("FLAME_COORDINATOR_DISK_FLOOR".to_owned(), FLOOR.to_string())];
    let cluster = ClusterOptions { data_dirs: disks.folders(), environment, ..ClusterOptions::default() };
    let mut scene = Scene::start(NAME, cluster).await?;
    let probe = scene.run.probe().await?;
    for victim in options.victims() {
        let id = scene.victim(victim).await?;
        let at = scene.run.cluster.coordinator_ids().iter().position(|known| *known == id);
        let at = at.context("it has a disk")?;
        disks.fill(at, BOTTOM / 2)?;
        scene.ends(id, &[DISK_FULL], "its disk is full").await?;
        disks.empty(at)?;
        scene.returns(id).await?;
    }
    scene.rest().await?;
    without_room(&mut scene, &disks, &probe).await?;
    scene.report().await
}

/// Two of three disks have less than the floor.
async fn without_room(scene: &mut Scene, disks: &Disks, probe: &Probe) -> Result<()> {
    eprintln!("==> two of three coordinators are short of disk");
    for at in 0..2 {
        disks.fill(at, FLOOR / 2)?;
    }
    let refused = wait_until(NOTICE_LIMIT, "nothing is taken in", || async {
        let taken = probe.acknowledged(PROBE_LIMIT).await;
        ensure!(taken == 0, "{taken} submits were acknowledged");
        Ok(())
    });
    let is_refused = refused.await.is_ok();
    scene.judge.figure("refused_without_room", is_refused);
    scene.judge.require(is_refused, || "tasks are taken in although no majority has room for them".to_owned());
    disks.empty(0)?;
    wait_until(NOTICE_LIMIT, "tasks are taken in again", || async {
        ensure!(probe.acknowledged(PROBE_LIMIT).await == COORDINATORS, "not through every coordinator");
        Ok(())
    })
    .await?;
    disks.empty(1)
}
