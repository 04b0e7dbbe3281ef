//! Who the peers are, and what each can be asked to do.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::figures::Figures;
use crate::peers::{etcd, script};
use crate::settings::Settings;

/// What is named after `--vs`, and installed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Product {
    /// Ray from PyPI: tasks, and calls of actors.
    Ray,
    /// Dask's distributed scheduler from PyPI.
    Dask,
    /// Celery from PyPI, with Debian's Redis.
    Celery,
    /// Debian's etcd, three members.
    Etcd,
    /// No product: what the disks and the network of this machine need for the two commits of a task.
    Bare,
}

impl Product {
    /// Its name on the command line, and its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ray => "ray",
            Self::Dask => "dask",
            Self::Celery => "celery",
            Self::Etcd => "etcd",
            Self::Bare => "bare",
        }
    }

    /// Whether what it has acknowledged survives the loss of a machine, as ours does.
    #[must_use]
    pub fn is_replicated(self) -> bool {
        matches!(self, Self::Etcd | Self::Bare)
    }
}

/// What a peer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Many tasks at once.
    Throughput,
    /// Each task when the result of the one before has come.
    Latency,
    /// From its start to its first result.
    ColdStart,
    /// Objects that are put and got, in the phases of [`crate::objects`].
    Objects,
}

impl Mode {
    /// What peers do beside this workload of ours; `None` when nothing of theirs compares.
    #[must_use]
    pub fn beside(workload: &str) -> Option<Self> {
        match workload {
            "throughput" | "throughput-unary" | "python" | "runner" => Some(Self::Throughput),
            "latency" | "python-latency" => Some(Self::Latency),
            "cache" => Some(Self::Objects),
            "cold-start" => Some(Self::ColdStart),
            _ => None,
        }
    }

    /// Its name for the peers' programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::ColdStart => "cold-start",
            Self::Objects => "objects",
        }
    }
}

/// One line of comparison.
#[derive(Debug)]
pub struct Peer {
    /// Its name in the report.
    pub name: &'static str,
    /// Its name in charts.
    pub title: &'static str,
    /// What has to be installed.
    pub product: Product,
    /// Tasks of a run in [`Mode::Throughput`]: some seconds' worth.
    tasks: u64,
    program: Program,
}

#[derive(Debug)]
enum Program {
    /// A file in `bench/peers`.
    Script(&'static str),
    /// One that puts and gets objects.
    Objects(&'static str),
    /// So many clients that put.
    Etcd(usize),
    /// Nothing runs: its times are those of two others, added.
    Sum,
}

/// Tasks of a run in [`Mode::Latency`], as in our own workload.
const LATENCY_TASKS: u64 = 1_000;

/// All of them.
pub const ALL: &[Peer] = &[
    script("ray-tasks", "Ray tasks", Product::Ray, 10_000, "ray_tasks.py"),
    script("ray-actors", "Ray actor calls", Product::Ray, 10_000, "ray_actors.py"),
    Peer {
        name: "ray-objects",
        title: "Ray's object store",
        product: Product::Ray,
        tasks: 0,
        program: Program::Objects("ray_objects.py"),
    },
    script("dask", "Dask", Product::Dask, 2_000, "dask_tasks.py"),
    script("celery", "Celery and Redis", Product::Celery, 5_000, "celery_tasks.py"),
    etcd("etcd-1", "etcd puts, 1 client", 2_000, 1),
    etcd("etcd-16", "etcd puts, 16 clients", 10_000, 16),
    etcd("etcd-256", "etcd puts, 256 clients", 30_000, 256),
    script("bare", "bare commits, two per task", Product::Bare, 100_000, "bare_commits.py"),
];

const fn script(name: &'static str, title: &'static str, product: Product, tasks: u64, file: &'static str) -> Peer {
    Peer { name, title, product, tasks, program: Program::Script(file) }
}

const fn etcd(name: &'static str, title: &'static str, tasks: u64, clients: usize) -> Peer {
    Peer { name, title, product: Product::Etcd, tasks, program: Program::Etcd(clients) }
}

/// What a call costs where nothing is kept, and one write where everything is: a call of a Ray actor and a put of etcd, run
/// by run. Ours keeps both the task and its result.
pub const CALL_AND_COMMIT: Peer = Peer {
    name: "ray-actors + etcd-1",
    title: "Ray actor call and etcd put",
    product: Product::Ray,
    tasks: 0,
    program: Program::Sum,
};

/// What came of one run of a peer.
#[derive(Debug)]
pub enum Played {
    /// It ran, and everything it gave was right.
    Measured {
        /// What it says it is.
        version: String,
        /// The same figures as ours.
        figures: Figures,
    },
    /// It cannot be started here, because.
    NotStarted(String),
}

impl Peer {
    /// Whether it takes part: only one client of etcd waits for each put before the next, and who keeps objects runs no
    /// tasks.
    #[must_use]
    pub fn plays(&self, mode: Mode) -> bool {
        match self.program {
            Program::Objects(_) => mode == Mode::Objects,
            Program::Script(_) => mode != Mode::Objects,
            Program::Etcd(clients) => mode == Mode::Throughput || (mode != Mode::Objects && clients == 1),
            Program::Sum => false,
        }
    }

    /// One run, with servers of its own.
    ///
    /// # Errors
    /// If it breaks after it had started: an output is wrong, or something ends early.
    pub async fn play(&self, installed: &Path, mode: Mode, settings: &Settings) -> Result<Played> {
        let tasks = match mode {
            Mode::Throughput => settings.tasks_or(self.tasks),
            Mode::Latency => settings.tasks_or(LATENCY_TASKS),
            Mode::ColdStart => 1,
            Mode::Objects => settings.tasks.unwrap_or(0),
        };
        match self.program {
            Program::Script(file) | Program::Objects(file) => script::play(file, installed, mode, tasks).await,
            Program::Etcd(clients) => etcd::play(clients, installed, mode, tasks, settings).await,
            Program::Sum => Ok(Played::NotStarted("it is no program".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_peers_and_every_script_is_there() {
        for product in Product::value_variants() {
            assert!(ALL.iter().any(|peer| peer.product == *product), "{product:?}");
            assert_eq!(product.to_possible_value().expect("it has a name").get_name(), product.name());
        }
        for peer in ALL {
            if let Program::Script(file) | Program::Objects(file) = peer.program {
                assert!(script::source(file).is_file(), "{file}");
            }
        }
    }

    #[test]
    fn only_what_compares_is_run() {
        let names = |mode| ALL.iter().filter(|peer| peer.plays(mode)).map(|peer| peer.name).collect::<Vec<_>>();
        assert_eq!(names(Mode::Throughput).len(), ALL.len() - 1);
        assert_eq!(names(Mode::Objects), ["ray-objects"]);
        assert_eq!(names(Mode::Latency), ["ray-tasks", "ray-actors", "dask", "celery", "etcd-1", "bare"]);
        assert_eq!(Mode::beside("failover"), None);
        assert_eq!(Mode::beside("throughput-unary"), Some(Mode::Throughput));
    }
}
