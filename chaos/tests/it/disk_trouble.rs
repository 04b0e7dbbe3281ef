//! The scenarios of sick disks in their shortest form: each on the leader or on a follower, once.

use anyhow::{Result, ensure};
use flame_chaos::scenarios::disk_trouble::{Options, Victim};
use flame_chaos::scenarios::report::{Outcome, Report};
use flame_chaos::scenarios::{disk_damage, disk_deleted_log, disk_fsync, disk_full, disk_old_copy};

fn once(of: Victim) -> Options {
    Options { of: Some(of), times: 1 }
}

fn judged(report: &Report) -> Result<()> {
    if matches!(report.outcome, Outcome::Skipped(_)) {
        eprintln!("SKIPPED: {report}");
        return Ok(());
    }
    ensure!(report.outcome == Outcome::Passed, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_syncs_fail_stops_and_nothing_is_lost() -> Result<()> {
    judged(&disk_fsync::run(once(Victim::Leader)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_room_stops_and_nothing_is_lost() -> Result<()> {
    judged(&disk_full::run(once(Victim::Leader)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_is_damaged_stops_and_nothing_is_lost() -> Result<()> {
    judged(&disk_damage::run(once(Victim::Follower)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_its_log_takes_no_part_and_nothing_is_lost() -> Result<()> {
    judged(&disk_deleted_log::run(once(Victim::Leader)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_an_old_disk_takes_no_part_and_nothing_is_lost() -> Result<()> {
    judged(&disk_old_copy::run(once(Victim::Leader)).await?)
}
