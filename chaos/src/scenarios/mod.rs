//! Named scenarios: one cause of trouble each, under load, with a verdict in one line.
//!
//! A scenario starts a cluster, loads it, breaks something, waits until all is quiet, and asks every witness. Its
//! [`report`] is one of four words. *Inconclusive* is for a run in which the trouble did not bite: no task ran, no
//! leader changed, no lease ran out. *Skipped* is for trouble that cannot be made on this machine. Neither is a pass.
//!
//! | module | breaks |
//! |---|---|
//! | [`leader_kill`] | the leader, again and again, with many workers |
//! | [`rolling_restart`] | nothing: restarts every coordinator in turn, as an operator does |
//! | [`rolling_upgrade`] | nothing: brings every coordinator to a newer build, back, and there again |
//! | [`membership`] | leaders and disks, while coordinators come and go |
//! | [`no_quorum`] | a majority of coordinators, for minutes |
//! | [`cut_worker_with_leader`] | the network: the leader and a worker are alone together |
//! | [`zombie_worker`] | a worker that stands still for longer than its lease |
//! | [`power_cut`] | the disks of one coordinator or of all |
//! | [`crash_points`] | a coordinator at every so-manieth synced write |
//! | [`disk_fsync`] | syncs to a disk |
//! | [`disk_full`] | the room on a disk |
//! | [`disk_damage`] | a bit of a log or of rows |
//! | [`disk_deleted_log`] | a log as a whole |
//! | [`disk_old_copy`] | what a disk remembers |
//! | [`backup_restore`] | everything: another cluster is made from a backup |
//! | [`clients`] | the leader, then each coordinator in turn, under programs on both SDKs and a published client |
//! | [`cache_node`] | the caches in turn, and the leader, while objects are put |
//! | [`runner`] | caches in turn, the leader with each, under a program on Runner |
//! | [`recover`] | a majority with its disks: one coordinator goes on alone |
//!
//! [`disk_trouble`] is what those of disks share, `program` a client as a process. [`command`] is their command line, [`judge`]
//! collects what is known, [`report`] says it.

pub mod backup_restore;
pub mod cache_node;
pub mod clients;
pub mod command;
pub mod crash_points;
pub mod cut_worker_with_leader;
pub mod disk_damage;
pub mod disk_deleted_log;
pub mod disk_fsync;
pub mod disk_full;
pub mod disk_old_copy;
pub mod disk_trouble;
pub mod judge;
pub mod leader_kill;
pub mod membership;
pub mod no_quorum;
pub mod power_cut;
mod program;
pub mod recover;
pub mod report;
mod rolling;
pub mod rolling_restart;
pub mod rolling_upgrade;
pub mod runner;
pub mod zombie_worker;
