//! The command line: flags over environment over file, then the cache itself.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | stopped as it was told (SIGTERM, SIGINT) |
//! | 1 | the host does not give what a cache needs |
//! | 2 | the command line or the configuration is wrong |
//! | 12 | a port is in use |

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use flame_clock::SystemClock;
use flame_config::{
    CacheSection, ClusterFile, ConfigError, Environment, HostPort, NamedFile, ProcessEnvironment, TlsSection,
};
use flame_tls::{File, Refusal, ServerFiles, ServerSide};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::Options;
use crate::server::{Running, StartError};
use crate::store::StoreOptions;
use crate::store::index::Bounds;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// As of a coordinator.
const EXIT_PORT_IN_USE: u8 = 12;

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
    #[error("cache.endpoints: this release runs a cache alone; leave it empty, and give each cache its own clients")]
    NotAlone,
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
            Self::System(_) | Self::Start(_) | Self::Served(_) => EXIT_FAILED,
            Self::Config(_) | Self::Tls(_) | Self::Address { .. } | Self::NotAlone | Self::Telemetry(_) => EXIT_USAGE,
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
    let options = options(file.cache()?)?;
    flame_telemetry::init("flame-cache")?;
    file.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    if options.store.folder.is_none() {
        tracing::warn!("cache.storage is none: objects are gone with this process, packages too");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let cache = Running::start(options, Arc::new(SystemClock)).await?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(cache.until(stop).await?)
    })
}

fn load(flags: &Flags, environment: &dyn Environment) -> Result<ClusterFile, ConfigError> {
    let set = flame_config::Flags::default()
        .set("cache.name", "--name", flags.name.as_ref())
        .set("cache.listen", "--listen", flags.listen.as_ref())
        .set("cache.advertise", "--advertise", flags.advertise.as_ref())
        .set("cache.storage", "--storage", flags.storage.as_ref())
        .set("cache.eviction.max_memory", "--memory", flags.memory.as_ref())
        .set("cache.arena", "--arena", flags.arena.as_ref())
        .set("cache.metrics", "--metrics", flags.metrics.as_ref())
        .set("cache.insecure", "--insecure", flags.insecure.then_some(true));
    ClusterFile::load_with(flags.config.as_deref(), environment, &set)
}

fn options(section: CacheSection) -> Result<Options, Failure> {
    if !section.coordinators.is_empty() {
        return Err(Failure::NotAlone);
    }
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let tls = server_side(&section.tls)?;
    let bounds =
        Bounds { memory: section.memory, disk: section.disk_max, resident: section.objects_max, quota: section.quota };
    Ok(Options {
        name: section.name.as_ref().map_or_else(host, ToString::to_string),
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
