//! Who runs where: ports, folders, configuration files.
//!
//! **Invariant:** ports are chosen once and kept for the life of a data folder, so a daemon that is started again is
//! found where it was.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DevArgs;
use super::args::Profile;
use crate::exit::Failure;

const PLAN_FILE: &str = "plan.json";

/// Where each coordinator serves its metrics: it logs the address.
const ANY_PORT: &str = "127.0.0.1:0";

/// Free disk that each coordinator asks for: on one disk for all of them, and for whatever else its owner does.
const DISK_FLOOR: &str = "256m";

/// A cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The coordinators, by number.
    pub coordinators: Vec<CoordinatorPlan>,
    /// The workers, by name.
    pub workers: Vec<WorkerPlan>,
    /// The object cache. A plan of an earlier release has none.
    #[serde(default)]
    pub cache: Option<CachePlan>,
    /// How fast the loss of a leader is noticed.
    pub profile: Profile,
}

/// One coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorPlan {
    /// Its number.
    pub id: u64,
    /// Where clients reach it.
    pub client: String,
    /// Where workers reach it.
    pub worker: String,
    /// Where other coordinators reach it.
    pub peer: String,
}

/// The object cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePlan {
    /// Where it listens.
    pub address: String,
}

impl CachePlan {
    /// Where clients reach it, for `FLAME_CACHE_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("grpc://{}", self.address)
    }
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// Its name.
    pub name: String,
    /// What it offers; what the machine has when unset.
    pub resources: Option<String>,
}

impl Plan {
    /// The plan of the data folder, or a new one with free ports.
    ///
    /// # Errors
    /// When the folder holds another cluster than is asked for.
    pub fn find_or_make(args: &DevArgs, data: &Path) -> Result<Self, Failure> {
        let Some(found) = Self::read(data)? else { return Self::make(args) };
        let (nodes, asked) = (found.coordinators.len() as u64, args.nodes);
        if nodes != asked {
            let data = data.display();
            return Err(Failure::usage(format!("{data} holds a cluster of {nodes} coordinators, not {asked}"))
                .hint(format!("say --nodes {nodes}, or name another folder with --data")));
        }
        let cache = match found.cache {
            Some(cache) => Some(cache),
            None => Self::make(args)?.cache,
        };
        Ok(Self { workers: workers(args), profile: args.profile, cache, ..found })
    }

    fn read(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(PLAN_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// A new plan with free ports.
    ///
    /// # Errors
    /// When the machine has no free ports.
    pub fn make(args: &DevArgs) -> Result<Self, Failure> {
        let no_port = |error: std::io::Error| Failure::failed(format!("cannot find a free port: {error}"));
        // All are held until all are chosen, so that no two are the same.
        let mut held = Vec::new();
        let mut address = || -> Result<String, Failure> {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(no_port)?;
            let address = listener.local_addr().map_err(no_port)?;
            held.push(listener);
            Ok(address.to_string())
        };
        let coordinators = (1..=args.nodes)
            .map(|id| Ok(CoordinatorPlan { id, client: address()?, worker: address()?, peer: address()? }))
            .collect::<Result<_, Failure>>()?;
        let cache = Some(CachePlan { address: address()? });
        Ok(Self { coordinators, workers: workers(args), cache, profile: args.profile })
    }

    /// The same cluster at other ports.
    pub(super) fn with_other_ports(&self, args: &DevArgs) -> Result<Self, Failure> {
        let Self { coordinators, cache, .. } = Self::make(args)?;
        Ok(Self { coordinators, cache, ..self.clone() })
    }

    /// Where clients reach the cluster, for `FLAME_ENDPOINT`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.coordinators.iter().map(|coordinator| format!("http://{}", coordinator.client)).collect()
    }

    /// Where clients reach the object cache, for `FLAME_CACHE_ENDPOINT`.
    #[must_use]
    pub fn cache_endpoint(&self) -> Option<String> {
        self.cache.as_ref().map(CachePlan::endpoint)
    }

    /// Writes the plan and a configuration file for each daemon.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, data: &Path) -> Result<(), Failure> {
        let plan = serde_json::to_string_pretty(self).map_err(|error| Failure::failed(error.to_string()))?;
        write_file(&data.join(PLAN_FILE), &plan)?;
        for coordinator in &self.coordinators {
            write_yaml(&coordinator_file(data, coordinator.id), &self.coordinator_config(data, coordinator))?;
        }
        if let Some(cache) = &self.cache {
            write_yaml(&cache_file(data), &self.cache_config(data, cache))?;
        }
        for worker in &self.workers {
            write_yaml(&worker_file(data, &worker.name), &self.worker_config(data, worker))?;
        }
        Ok(())
    }

    fn coordinator_config<'a>(&'a self, data: &Path, this: &'a CoordinatorPlan) -> CoordinatorFile<'a> {
        CoordinatorFile {
            cluster: Cluster { name: "dev", endpoint: format!("http://{}", this.client) },
            coordinator: Coordinator {
                id: this.id,
                data_dir: data.join(format!("coordinator-{}", this.id)),
                listen: Listen { client: &this.client, worker: &this.worker, peer: &this.peer, metrics: ANY_PORT },
                disk_floor: DISK_FLOOR,
                members: &self.coordinators,
                profile: self.profile,
            },
        }
    }

    fn cache_config<'a>(&'a self, data: &Path, this: &'a CachePlan) -> CacheFile<'a> {
        CacheFile {
            cluster: Cluster { name: "dev", endpoint: self.endpoints().remove(0) },
            cache: CacheDaemon {
                name: CACHE,
                listen: &this.address,
                endpoints: self.worker_endpoints(),
                storage: data.join("objects"),
            },
        }
    }

    /// Where workers and the cache reach the coordinators.
    fn worker_endpoints(&self) -> Vec<String> {
        self.coordinators.iter().map(|coordinator| format!("http://{}", coordinator.worker)).collect()
    }

    fn worker_config<'a>(&'a self, data: &Path, this: &'a WorkerPlan) -> WorkerFile<'a> {
        let home = data.join(&this.name);
        WorkerFile {
            cluster: Cluster { name: "dev", endpoint: self.endpoints().remove(0) },
            cache: self.cache_endpoint().map(|endpoint| CacheEndpoint { endpoint }),
            worker: Worker {
                name: &this.name,
                coordinators: self.worker_endpoints(),
                resources: this.resources.as_deref(),
                work_dir: home.join("work"),
                socket_dir: home.join("s"),
                log_dir: home.join("logs"),
            },
        }
    }
}

fn workers(args: &DevArgs) -> Vec<WorkerPlan> {
    // In bytes: the form for people rounds.
    let resources = args.resources.map(|r| format!("cpu={},mem={},gpu={}", r.cpu, r.memory, r.gpu));
    (1..=args.workers).map(|n| WorkerPlan { name: format!("w{n}"), resources: resources.clone() }).collect()
}

pub(super) fn coordinator_file(data: &Path, id: u64) -> PathBuf {
    data.join(format!("coordinator-{id}.yaml"))
}

/// The name of the one cache.
pub(super) const CACHE: &str = "cache";

pub(super) fn cache_file(data: &Path) -> PathBuf {
    data.join("cache.yaml")
}

pub(super) fn worker_file(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.yaml"))
}

fn write_yaml<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let yaml = serde_saphyr::to_string(value)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    write_file(path, &yaml)
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

#[derive(Serialize)]
struct CoordinatorFile<'a> {
    cluster: Cluster,
    coordinator: Coordinator<'a>,
}

#[derive(Serialize)]
struct WorkerFile<'a> {
    cluster: Cluster,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheEndpoint>,
    worker: Worker<'a>,
}

#[derive(Serialize)]
struct CacheFile<'a> {
    cluster: Cluster,
    cache: CacheDaemon<'a>,
}

#[derive(Serialize)]
struct CacheDaemon<'a> {
    name: &'static str,
    listen: &'a str,
    endpoints: Vec<String>,
    storage: PathBuf,
}

/// What a worker tells its services.
#[derive(Serialize)]
struct CacheEndpoint {
    endpoint: String,
}

#[derive(Serialize)]
struct Cluster {
    name: &'static str,
    endpoint: String,
}

#[derive(Serialize)]
struct Coordinator<'a> {
    id: u64,
    data_dir: PathBuf,
    listen: Listen<'a>,
    disk_floor: &'static str,
    members: &'a [CoordinatorPlan],
    profile: Profile,
}

#[derive(Serialize)]
struct Listen<'a> {
    client: &'a str,
    worker: &'a str,
    peer: &'a str,
    metrics: &'static str,
}

#[derive(Serialize)]
struct Worker<'a> {
    name: &'a str,
    coordinators: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a str>,
    work_dir: PathBuf,
    socket_dir: PathBuf,
    log_dir: PathBuf,
}
