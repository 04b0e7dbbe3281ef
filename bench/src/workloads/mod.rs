//! The workloads, one file each.
//!
//! A workload is a name and what one run of it does; a run starts a cluster of its own and leaves nothing behind. To add
//! one, write its file and its line in [`ALL`].

mod cold_start;
mod failover;
mod flmping;
mod latency;
mod latency_under_load;
mod python;
mod queue_1m;
mod restart_1m;
mod sessions_10k;
mod soak;
mod throughput;
mod throughput_unary;
mod watch_fanout;
mod workers_1000;

use anyhow::Result;
use flame_testkit::Profile;
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::figures::Figures;
use crate::settings::Settings;

/// What came of one run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ran, and everything it got was right.
    Measured(Figures),
    /// It ran, and broke a promise.
    Wrong(Figures, String),
    /// It cannot run here, because.
    Skipped(String),
}

/// One line of the report.
pub struct Workload {
    /// Its name, on the command line and in the report.
    pub name: &'static str,
    /// What distinguishes it from others of its name.
    pub profile: Option<&'static str>,
    /// Most runs that make sense: a workload that repeats its measurement by itself needs one.
    pub runs_max: usize,
    /// One run.
    pub run: Play,
}

type Play = fn(Settings) -> LocalBoxFuture<'static, Result<Outcome>>;

const fn repeated(name: &'static str, run: Play) -> Workload {
    Workload { name, profile: None, runs_max: usize::MAX, run }
}

/// One that takes minutes.
const fn once(name: &'static str, run: Play) -> Workload {
    Workload { name, profile: None, runs_max: 1, run }
}

const fn failover(profile: &'static str, run: Play) -> Workload {
    Workload { name: "failover", profile: Some(profile), runs_max: 1, run }
}

/// All workloads, in the order in which they run; those of one name are neighbours.
pub const ALL: &[Workload] = &[
    repeated("throughput", |settings| throughput::run(settings).boxed_local()),
    repeated("throughput-unary", |settings| throughput_unary::run(settings).boxed_local()),
    repeated("latency", |settings| latency::run(settings).boxed_local()),
    repeated("latency-under-load", |settings| latency_under_load::run(settings).boxed_local()),
    repeated("queue-1m", |settings| queue_1m::run(settings).boxed_local()),
    repeated("sessions-10k", |settings| sessions_10k::run(settings).boxed_local()),
    repeated("workers-1000", |settings| workers_1000::run(settings).boxed_local()),
    repeated("watch-fanout", |settings| watch_fanout::run(settings).boxed_local()),
    repeated("flmping", |settings| flmping::run(settings).boxed_local()),
    repeated("python", |settings| python::ours(settings).boxed_local()),
    repeated("python-latency", |settings| python::ours_one_by_one(settings).boxed_local()),
    repeated("runner", |settings| python::runner(settings).boxed_local()),
    repeated("python-published", |settings| python::published(settings).boxed_local()),
    repeated("cold-start", |settings| cold_start::run(settings).boxed_local()),
    failover("default", |settings| failover::run(settings, Profile::Default).boxed_local()),
    failover("fast", |settings| failover::run(settings, Profile::Fast).boxed_local()),
    once("restart-1m", |settings| restart_1m::run(settings).boxed_local()),
    once("soak", |settings| soak::run(settings).boxed_local()),
];
