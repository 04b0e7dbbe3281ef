//! What a worker can be told. Files, environment and flags are merged before (`flame-config`, [`crate::cli`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flame_proxy::TlsFiles;
use flame_tls::ClientFiles;
use flame_types::{NodeName, Resources};

/// Where a worker finds its own program: the running one, even when the file was replaced by an upgrade.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Everything a worker can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the node. Two workers of one cluster never have the same.
    pub name: NodeName,
    /// The only cluster it works for; when unset, the one of the first leader that it finds.
    pub cluster: Option<String>,
    /// Worker endpoints of coordinators, `http://host:port` or `https://host:port`; any of them says who leads.
    pub coordinators: Vec<String>,
    /// What the worker gives to executors; detected when unset.
    pub resources: Option<Resources>,
    /// Where things lie.
    pub folders: Folders,
    /// What services are told.
    pub services: ServiceOptions,
    /// How packages of applications are fetched and installed.
    pub packages: PackageOptions,
    /// How long and how much.
    pub limits: Limits,
    /// Where metrics are served; `None` when nobody may look.
    pub metrics: Option<SocketAddr>,
    /// What encrypts connections to coordinators; needed where one of them is `https`.
    pub tls: Option<flame_tls::Client>,
    /// The proxy for services; `None` when they get the endpoint of [`ServiceOptions`] itself.
    pub proxy: Option<ProxyOptions>,
    /// The program that becomes a service: [`OWN_PROGRAM`], unless the worker is embedded in another program.
    pub program: PathBuf,
}

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Records of processes and a scratch folder per executor. One worker only: it is locked.
    pub work: PathBuf,
    /// Unix sockets of services. Short: the whole path of a socket has less than 108 bytes.
    pub sockets: PathBuf,
    /// What services write.
    pub logs: PathBuf,
}

/// What services are told in their environment.
#[derive(Clone, Debug, Default)]
pub struct ServiceOptions {
    /// `FLAME_ENDPOINT`: where a service finds the cluster as a client.
    pub endpoint: Option<String>,
    /// `FLAME_CACHE_ENDPOINT`.
    pub cache_endpoint: Option<String>,
    /// `FLAME_CA_FILE`.
    pub ca_file: Option<PathBuf>,
}

/// How packages of applications are fetched and installed.
#[derive(Clone, Debug, Default)]
pub struct PackageOptions {
    /// Where they are unpacked and installed. Workers of one host may share it.
    pub dir: PathBuf,
    /// Longest time to fetch and install one.
    pub timeout: Duration,
    /// Largest one.
    pub bytes_max: u64,
    /// Installed ones that nobody uses and that are kept.
    pub kept: usize,
    /// The preferred Python interpreter.
    pub python: Option<PathBuf>,
    /// Nodes of the object cache, `grpc://host:port`, for a package whose own does not answer.
    pub caches: Vec<String>,
    /// How object caches (`grpcs`) are checked.
    pub cache_tls: ClientFiles,
    /// How web servers (`https`) are checked.
    pub web_tls: ClientFiles,
}

/// The published API, served to services by the worker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Where it listens, `host:port`.
    pub listen: String,
    /// Client endpoints of coordinators; it hears of others.
    pub endpoints: Vec<String>,
    /// Certificates, where those are encrypted.
    pub tls: TlsFiles,
}

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time from the start of a process until its socket answers.
    pub start: Duration,
    /// Longest `OnSessionEnter`.
    pub enter: Duration,
    /// Longest `OnSessionLeave`.
    pub leave: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub terminate: Duration,
    /// How long a running task that nobody wants any more may go on before its service is killed.
    pub cancel_grace: Duration,
    /// How long running tasks may go on when the worker is told to stop.
    pub drain: Duration,
    /// Most bytes of results that wait to be recorded; beyond it no further task is started.
    pub results_bytes_max: usize,
    /// How many ended executors keep their log files.
    pub logs_kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            enter: Duration::from_secs(300),
            leave: Duration::from_secs(10),
            terminate: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            results_bytes_max: 256 << 20,
            logs_kept: 256,
        }
    }
}
