//! What kind of cluster to start.

use std::path::PathBuf;
use std::time::Duration;

use crate::binaries::Build;

/// How quickly a lost leader is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Safe on busy machines.
    #[default]
    Default,
    /// Half the time, for quiet machines.
    Fast,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
        }
    }
}

/// Where a daemon runs, if not on this host itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Where the others reach it.
    pub address: String,
    /// The words before its command that bring it there, for example `ip netns exec NAME`.
    pub enter: Vec<String>,
}

/// The shape of a cluster. Start from [`ClusterOptions::default`]: three coordinators, one worker.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// One, three or five.
    pub coordinators: usize,
    /// Started and attached before [`crate::Cluster::start`] returns.
    pub workers: usize,
    /// Timings of the coordinators.
    pub profile: Profile,
    /// What each worker offers, for example `cpu=8,mem=8g`. More than the machine has is fine: tests mostly sleep.
    pub worker_resources: String,
    /// Which build of the coordinator is started at first.
    pub build: Build,
    /// Flags that every coordinator gets, for example a test-only one.
    pub coordinator_arguments: Vec<String>,
    /// Variables for every daemon, and through the workers for every service.
    pub environment: Vec<(String, String)>,
    /// Where coordinator *n* (counted from 0) keeps its data; a folder of the cluster's own where this is too short.
    pub data_dirs: Vec<PathBuf>,
    /// Where coordinator *n* (counted from 0) runs; on this host itself where this is too short.
    pub coordinator_hosts: Vec<Host>,
    /// The same for workers.
    pub worker_hosts: Vec<Host>,
    /// Whether workers are started together with the coordinators, and not only once there is a leader.
    pub workers_at_once: bool,
    /// Whether everything is encrypted, and coordinators demand certificates of clients and workers
    /// ([`crate::Cluster::certificates`]).
    pub tls: bool,
    /// For a daemon to say that it is ready, and for the cluster to have a leader.
    pub start_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            coordinators: 3,
            workers: 1,
            profile: Profile::Default,
            worker_resources: "cpu=8,mem=8g".to_owned(),
            build: Build::Present,
            coordinator_arguments: Vec::new(),
            environment: Vec::new(),
            data_dirs: Vec::new(),
            coordinator_hosts: Vec::new(),
            worker_hosts: Vec::new(),
            workers_at_once: false,
            tls: false,
            start_timeout: Duration::from_secs(60),
        }
    }
}
