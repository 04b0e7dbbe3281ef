//! The scenarios as commands.

use anyhow::Result;
use clap::Subcommand;

use super::report::Report;
use super::{
    backup_restore, cache_node, clients, crash_points, cut_worker_with_leader, disk_damage, disk_deleted_log,
    disk_fsync, disk_full, disk_old_copy, disk_trouble, leader_kill, membership, no_quorum, power_cut, recover,
    rolling_restart, rolling_upgrade, runner, zombie_worker,
};

/// A scenario and its flags.
#[derive(Clone, Debug, Subcommand)]
pub enum Scenario {
    /// Kills the leader again and again, with many workers and tasks of very different lengths.
    LeaderKill(leader_kill::Options),
    /// Stops and starts every coordinator in turn, as an operator does.
    RollingRestart(rolling_restart::Options),
    /// Brings every coordinator to a newer build, back, and there again, in turn; then raises the feature level.
    RollingUpgrade(rolling_upgrade::Options),
    /// Makes five coordinators of three and three again, with kills in between; then replaces two whose disks are no good.
    Membership(membership::Options),
    /// Leaves the cluster without a majority while tasks go on and end.
    NoQuorum(no_quorum::Options),
    /// Lets a worker stand still for longer than its lease.
    ZombieWorker(zombie_worker::Options),
    /// Cuts the leader and a worker off from everybody else, together.
    CutWorkerWithLeader(cut_worker_with_leader::Options),
    /// Cuts the power of one disk or of all.
    PowerCut(power_cut::Options),
    /// Kills a coordinator at its N-th synced write, for each N.
    CrashPoints(crash_points::Options),
    /// Lets syncs of a coordinator fail.
    DiskFsync(disk_trouble::Options),
    /// Fills the disk of a coordinator, then those of two.
    DiskFull(disk_trouble::Options),
    /// Changes a byte of a coordinator's log, or of its rows.
    DiskDamage(disk_trouble::Options),
    /// Takes a coordinator's log away.
    DiskDeletedLog(disk_trouble::Options),
    /// Starts a coordinator with an old copy of its disk.
    DiskOldCopy(disk_trouble::Options),
    /// Takes a backup under load, loses the cluster, and makes another from the backup.
    BackupRestore(backup_restore::Options),
    /// Kills the leader, then each coordinator in turn, while programs on both SDKs and a published client run their tasks.
    Clients(clients::Options),
    /// Kills every object cache in turn, and the leader once, while objects are put.
    CacheNode(cache_node::Options),
    /// Kills caches in turn, the leader with each, while a program on Runner makes calls whose inputs they have.
    Runner(runner::Options),
    /// Loses two of three coordinators with their disks, and lets the third go on.
    Recover(recover::Options),
}

impl Scenario {
    /// Plays it.
    ///
    /// # Errors
    /// If it cannot be played to its end: that says nothing about the promises.
    pub async fn play(self) -> Result<Report> {
        match self {
            Self::LeaderKill(options) => leader_kill::run(options).await,
            Self::RollingRestart(options) => rolling_restart::run(options).await,
            Self::RollingUpgrade(options) => rolling_upgrade::run(options).await,
            Self::Membership(options) => membership::run(options).await,
            Self::NoQuorum(options) => no_quorum::run(options).await,
            Self::ZombieWorker(options) => zombie_worker::run(options).await,
            Self::CutWorkerWithLeader(options) => cut_worker_with_leader::run(options).await,
            Self::PowerCut(options) => power_cut::run(options).await,
            Self::CrashPoints(options) => crash_points::run(options).await,
            Self::DiskFsync(options) => disk_fsync::run(options).await,
            Self::DiskFull(options) => disk_full::run(options).await,
            Self::DiskDamage(options) => disk_damage::run(options).await,
            Self::DiskDeletedLog(options) => disk_deleted_log::run(options).await,
            Self::DiskOldCopy(options) => disk_old_copy::run(options).await,
            Self::BackupRestore(options) => backup_restore::run(options).await,
            Self::Clients(options) => clients::run(options).await,
            Self::CacheNode(options) => cache_node::run(options).await,
            Self::Runner(options) => runner::run(options).await,
            Self::Recover(options) => recover::run(options).await,
        }
    }
}
