//! The command line: flags over environment over file, then the cache itself.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | stopped as it was told (SIGTERM, SIGINT) |
//! | 1 | the host does not give what a cache needs |
//! | 2 | the command line or the configuration is wrong, or the cluster refuses this cache (its name is in use, it is another cluster) |
//! | 3 | a newer cache has taken over the name |
//! | 12 | a port is in use |

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use flame_clock::{Clock, SystemClock};
use flame_config::{
    CacheSection, ClusterFile, ConfigError, Environment, HostPort, NamedFile, ProcessEnvironment, TlsSection,
};
use flame_proto::ha;
use flame_tls::{ClientFiles, File, Refusal, ServerFiles, ServerSide};
use flame_types::NodeName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::cluster::{Farewell, InCluster, Joining};
use crate::directory::Directory;
use crate::objects::Peers;
use crate::options::Options;
use crate::server::{Running, StartError};
use crate::store::index::Bounds;
use crate::store::{Store, StoreOptions};

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_SUPERSEDED: u8 = 3;
/// As of a coordinator.
const EXIT_PORT_IN_USE: u8 = 12;

/// Where Linux says which boot this is.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Keeps objects for the programs and services of a Flame cluster.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "flame-cache", version)]
pub struct Flags {
    /// Configuration; default ~/.flame/flame-cluster.yaml, if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the cache, different for each; default: the name of the host
    #[arg(long)]
    pub name: Option<String>,
    /// Where it listens, HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where clients and other caches reach it, grpc://HOST:PORT; default: where it listens
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// Worker address of a coordinator, https://HOST:8081 or http://HOST:8081; may be given several times, any of them says who leads
    #[arg(long = "coordinator", value_name = "URL")]
    pub coordinators: Vec<String>,
    /// Folder of the objects, or none
    #[arg(long, value_name = "DIR")]
    pub storage: Option<String>,
    /// Bytes of objects in memory, like 1g
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Bytes of memory that is shared with clients of this host, like 1g; 0 shares none
    #[arg(long, value_name = "SIZE")]
    pub arena: Option<String>,
    /// Address for metrics over plain HTTP, HOST:PORT or off
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
    /// Allow plaintext traffic with other machines
    #[arg(long)]
    pub insecure: bool,
    /// Print the configuration, each value with where it comes from, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// Why the program ends early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] Refusal),
    #[error("{key}: {address} cannot be resolved: {why}")]
    Address { key: &'static str, address: HostPort, why: String },
    #[error("the name of this host cannot be the name of a cache: {0}; give one with --name")]
    HostName(flame_types::ids::InvalidName),
    #[error("cannot read {BOOT_ID_FILE}: {0}")]
    BootId(std::io::Error),
    #[error("a newer cache has taken over: {0}")]
    Superseded(String),
    #[error("the cluster refuses this cache: {0}")]
    Refused(String),
    #[error(transparent)]
    Telemetry(#[from] flame_telemetry::InitError),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the listener has failed: {0}")]
    Served(#[from] tonic::transport::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Start(StartError::Listen { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
                EXIT_PORT_IN_USE
            }
            Self::Superseded(_) => EXIT_SUPERSEDED,
            Self::System(_) | Self::Start(_) | Self::Served(_) | Self::BootId(_) => EXIT_FAILED,
            Self::Config(_)
            | Self::Tls(_)
            | Self::Address { .. }
            | Self::HostName(_)
            | Self::Refused(_)
            | Self::Telemetry(_) => EXIT_USAGE,
        }
    }
}

/// Does what the flags say, until the end.
#[must_use]
pub fn main(flags: &Flags) -> ExitCode {
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flame-cache: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(flags: &Flags) -> Result<(), Failure> {
    let file = load(flags, &ProcessEnvironment)?;
    if flags.print_config {
        print!("{}", file.print());
        return Ok(());
    }
    let section = file.cache()?;
    let joining = joining(&section, &SystemClock)?;
    let options = options(section)?;
    flame_telemetry::init("flame-cache")?;
    file.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    if options.store.folder.is_none() {
        tracing::warn!("cache.storage is none: objects are gone with this process, packages too");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (tell, mut told) = oneshot::channel();
        let clock = Arc::new(SystemClock);
        let cache = match joining {
            None => Running::start(options, clock).await?,
            Some(joining) => {
                let join = |node, store: &Store, peers: &Peers| {
                    InCluster::join(joining, node, store.clone(), peers.clone(), tell) as Arc<dyn Directory>
                };
                Running::start_in(options, clock, join).await?
            }
        };
        let mut farewell = Farewell::Stopped;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                Ok(said) = &mut told => farewell = said,
            }
        };
        cache.until(stop).await?;
        match farewell {
            Farewell::Stopped => Ok(()),
            Farewell::Superseded(message) => Err(Failure::Superseded(message)),
            Farewell::Refused(message) => Err(Failure::Refused(message)),
        }
    })
}

fn load(flags: &Flags, environment: &dyn Environment) -> Result<ClusterFile, ConfigError> {
    let set = flame_config::Flags::default()
        .set("cache.name", "--name", flags.name.as_ref())
        .set("cache.listen", "--listen", flags.listen.as_ref())
        .set("cache.advertise", "--advertise", flags.advertise.as_ref())
        .set_list("cache.endpoints", "--coordinator", flags.coordinators.clone())
        .set("cache.storage", "--storage", flags.storage.as_ref())
        .set("cache.eviction.max_memory", "--memory", flags.memory.as_ref())
        .set("cache.arena", "--arena", flags.arena.as_ref())
        .set("cache.metrics", "--metrics", flags.metrics.as_ref())
        .set("cache.insecure", "--insecure", flags.insecure.then_some(true));
    ClusterFile::load_with(flags.config.as_deref(), environment, &set)
}

fn options(section: CacheSection) -> Result<Options, Failure> {
    let tls = server_side(&section.tls)?;
    let bounds =
        Bounds { memory: section.memory, disk: section.disk_max, resident: section.objects_max, quota: section.quota };
    Ok(Options {
        name: section.name.as_ref().map_or_else(host_name, ToString::to_string),
        listen: resolve("cache.listen", &section.listen)?,
        advertise: section.advertise.as_ref().map(ToString::to_string),
        store: StoreOptions { folder: section.storage, bounds, eviction: section.eviction },
        object_max: section.object_max,
        arena: section.arena,
        metrics: section.metrics.as_ref().map(|address| resolve("cache.metrics", address)).transpose()?,
        peers: tls.as_ref().map(|side| side.to_peers.clone()),
        tls: tls.map(|side| side.callers),
    })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What it takes to be one of several; `None` for one that is alone.
fn joining(section: &CacheSection, clock: &dyn Clock) -> Result<Option<Joining>, Failure> {
    if section.coordinators.is_empty() {
        return Ok(None);
    }
    if section.name.is_none() {
        NodeName::parse(&host_name()).map_err(Failure::HostName)?;
    }
    let tls = match section.coordinators.iter().any(|endpoint| endpoint.tls) {
        true => Some(client_files(&section.tls)?.load()?),
        false => None,
    };
    let boot_id = std::fs::read_to_string(BOOT_ID_FILE).map_err(Failure::BootId)?.trim().to_owned();
    let host = ha::Host {
        name: host_name(),
        boot_id,
        arch: std::env::consts::ARCH.to_owned(),
        os: std::env::consts::OS.to_owned(),
    };
    Ok(Some(Joining {
        coordinators: section.coordinators.iter().map(ToString::to_string).collect(),
        tls,
        cluster: section.only_cluster.clone().unwrap_or_default(),
        started_ms: u64::try_from(clock.wall().0).unwrap_or_default(),
        nonce: Uuid::new_v4().as_u64_pair().0,
        host,
        memory_bytes: section.memory,
        disk_bytes: section.storage.as_ref().map_or(0, |_| section.disk_max),
        object_max: section.object_max,
    }))
}

fn client_files(section: &TlsSection) -> Result<ClientFiles, Refusal> {
    let file = |file: &Option<NamedFile>| file.as_ref().map(|file| File::new(file.named.clone(), file.path.clone()));
    let TlsSection { cert_file, key_file, ca_file, client_ca_file: _ } = section;
    let names = ("cache.tls.cert_file", "cache.tls.key_file");
    ClientFiles::of(file(ca_file), file(cert_file), file(key_file), names)
}

fn server_side(section: &TlsSection) -> Result<Option<ServerSide>, Refusal> {
    let file = |file: &Option<NamedFile>| file.as_ref().map(|file| File::new(file.named.clone(), file.path.clone()));
    let TlsSection { cert_file, key_file, ca_file, client_ca_file: _ } = section;
    let names = ["cache.tls.cert_file", "cache.tls.key_file", "cache.tls.ca_file"];
    let files = ServerFiles::named(file(cert_file), file(key_file), file(ca_file), None, names)?;
    files.map(|files| files.load()).transpose()
}

/// The first address of a host name.
fn resolve(key: &'static str, address: &HostPort) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| Failure::Address { key, address: address.clone(), why };
    let found = (address.host(), address.port()).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.into_iter().next().ok_or_else(|| unknown("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn options_of(flags: &Flags) -> Result<Options, Failure> {
        let none: BTreeMap<&str, &str> = BTreeMap::new();
        options(load(flags, &none)?.cache()?)
    }

    #[test]
    fn flags_are_options() {
        let flags =
            Flags::parse_from(["flame-cache", "--listen", "127.0.0.1:0", "--storage", "none", "--memory", "2g"]);
        let options = options_of(&flags).unwrap();
        assert_eq!(options.listen.port(), 0);
        assert_eq!((options.store.folder, options.store.bounds.memory), (None, 2 << 30));
        assert_eq!(options.advertise, None);
    }

    #[test]
    fn plaintext_stays_on_this_machine_unless_it_is_allowed() {
        let beyond = ["flame-cache", "--listen", "192.0.2.1:9090"];
        let why = options_of(&Flags::parse_from(beyond)).err().unwrap().to_string();
        assert!(why.contains("cache.insecure"), "{why}");
        options_of(&Flags::parse_from(beyond.into_iter().chain(["--insecure"]))).unwrap();
        let anywhere = ["flame-cache", "--listen", "0.0.0.0:9090", "--insecure"];
        let why = options_of(&Flags::parse_from(anywhere)).err().unwrap().to_string();
        assert!(why.contains("cache.advertise"), "{why}");
        options_of(&Flags::parse_from(anywhere.into_iter().chain(["--advertise", "grpc://cache:9090"]))).unwrap();
    }
}
