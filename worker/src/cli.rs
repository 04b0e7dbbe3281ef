//! The command line: flags over environment over file, then the worker itself.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | stopped as it was told (SIGTERM, SIGINT) |
//! | 1 | the host does not give what a worker needs |
//! | 2 | the command line or the configuration is wrong, or the cluster refuses this worker (its name is in use, it is another cluster) |
//! | 3 | a newer worker has taken over the name |

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use flame_clock::SystemClock;
use flame_config::{
    ClusterFile, ConfigError, Environment, HostPort, NamedFile, PackagesSection, ProcessEnvironment, TlsSection,
    WorkerSection,
};
use flame_proxy::TlsFiles;
use flame_tls::{ClientFiles, File, Refusal};
use flame_types::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::options::{Folders, Limits, OWN_PROGRAM, Options, PackageOptions, ProxyOptions, ServiceOptions};
use crate::shim::host::HostError;
use crate::{Farewell, StartError};

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_SUPERSEDED: u8 = 3;

/// Where services listen, as the published worker has it.
const SOCKET_DIR_VARIABLE: &str = "FLAME_SOCKET_DIR";

/// Runs the tasks that a Flame cluster assigns to this host.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "flame-worker", version)]
pub struct Flags {
    /// Configuration; default ~/.flame/flame-cluster.yaml, if it is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the worker, different for each; default: the name of the host
    #[arg(long)]
    pub name: Option<String>,
    /// Worker address of a coordinator, https://HOST:8081 or http://HOST:8081; may be given several times, any of them says who leads
    #[arg(long = "coordinator", value_name = "URL")]
    pub coordinators: Vec<String>,
    /// What the worker offers, like cpu=8,mem=16g,gpu=1; default: what the host has
    #[arg(long)]
    pub resources: Option<String>,
    /// Scratch folders of executors; one worker only
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<String>,
    /// Unix sockets of services; a short path. FLAME_SOCKET_DIR sets it too
    #[arg(long, value_name = "DIR")]
    pub socket_dir: Option<String>,
    /// What services print
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<String>,
    /// Where the cluster is reached by clients; without a proxy services get it as FLAME_ENDPOINT
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Where the worker serves the published API to its services, HOST:PORT or off; they get it as FLAME_ENDPOINT
    #[arg(long, value_name = "ADDRESS")]
    pub proxy: Option<String>,
    /// Client address of a coordinator for that proxy, http://HOST:8080; may be given several times
    #[arg(long = "client-endpoint", value_name = "URL")]
    pub endpoints: Vec<String>,
    /// Address for metrics over plain HTTP, HOST:PORT or off
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
    /// Allow plaintext traffic with coordinators on other machines (http://), and metrics beyond this one
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
    #[error("the name of this host cannot be the name of a worker: {0}; give one with --name")]
    HostName(flame_types::ids::InvalidName),
    #[error(transparent)]
    Tls(#[from] Refusal),
    #[error("worker.metrics: {0} cannot be resolved: {1}")]
    Metrics(HostPort, String),
    #[error(transparent)]
    Telemetry(#[from] flame_telemetry::InitError),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("a newer worker has taken over: {0}")]
    Superseded(String),
    #[error("the cluster refuses this worker: {0}")]
    Refused(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Superseded(_) => EXIT_SUPERSEDED,
            Self::System(_) => EXIT_FAILED,
            Self::Start(
                StartError::BootId(_)
                | StartError::Metrics { .. }
                | StartError::Host(HostError::Io { .. } | HostError::Thread(_)),
            ) => EXIT_FAILED,
            Self::Config(_)
            | Self::HostName(_)
            | Self::Tls(_)
            | Self::Metrics(..)
            | Self::Telemetry(_)
            | Self::Start(_)
            | Self::Refused(_) => EXIT_USAGE,
        }
    }
}

/// Does what the flags say, until the end.
#[must_use]
pub fn main(flags: &Flags) -> ExitCode {
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flame-worker: {failure}");
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
    let options = options(file.worker()?)?;
    flame_telemetry::init("flame-worker")?;
    file.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    // One thread: the agent is one loop and executors mostly wait. A task costs 40 % less processor time than with two
    // threads that wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let farewell = runtime.block_on(async {
        let stop = on_signal()?;
        Ok::<_, Failure>(crate::run(options, Arc::new(SystemClock), stop).await?)
    })?;
    match farewell {
        Farewell::Stopped => Ok(()),
        Farewell::Superseded(message) => Err(Failure::Superseded(message)),
        Farewell::Refused(message) => Err(Failure::Refused(message)),
    }
}

fn load(flags: &Flags, environment: &dyn Environment) -> Result<ClusterFile, ConfigError> {
    let socket_dir = flags.socket_dir.clone().map(|folder| ("--socket-dir", folder));
    let socket_dir = socket_dir.or_else(|| Some((SOCKET_DIR_VARIABLE, environment.get(SOCKET_DIR_VARIABLE)?)));
    let (socket_flag, socket_dir) = socket_dir.unzip();
    let set = flame_config::Flags::default()
        .set("worker.name", "--name", flags.name.as_ref())
        .set_list("worker.coordinators", "--coordinator", flags.coordinators.clone())
        .set("worker.resources", "--resources", flags.resources.as_ref())
        .set("worker.work_dir", "--work-dir", flags.work_dir.as_ref())
        .set("worker.socket_dir", socket_flag.unwrap_or("--socket-dir"), socket_dir)
        .set("worker.log_dir", "--log-dir", flags.log_dir.as_ref())
        .set("cluster.endpoint", "--endpoint", flags.endpoint.as_ref())
        .set("worker.proxy", "--proxy", flags.proxy.as_ref())
        .set_list("worker.endpoints", "--client-endpoint", flags.endpoints.clone())
        .set("worker.metrics", "--metrics", flags.metrics.as_ref())
        .set("worker.insecure", "--insecure", flags.insecure.then_some(true));
    ClusterFile::load_with(flags.config.as_deref(), environment, &set)
}

fn options(section: WorkerSection) -> Result<Options, Failure> {
    let (packages, limits) = (packages(&section)?, limits(&section));
    let name = match section.name {
        Some(name) => name,
        None => name_of_host()?,
    };
    let tls = match section.coordinators.iter().any(|endpoint| endpoint.tls) {
        true => Some(certificates(&section.tls)?.load()?),
        false => None,
    };
    let proxy = section.proxy.as_ref().map(|listen| ProxyOptions {
        listen: listen.to_string(),
        endpoints: section.endpoints.iter().map(ToString::to_string).collect(),
        tls: match section.endpoints.iter().any(|endpoint| endpoint.tls) {
            true => client_files(&section.tls),
            false => TlsFiles::default(),
        },
    });
    // Services have working directories of their own.
    let ca_file = section.tls.ca_file.filter(|_| section.cluster.endpoint.tls);
    let ca_file = ca_file.map(|file| std::path::absolute(file.path)).transpose()?;
    Ok(Options {
        name,
        cluster: section.only_cluster,
        coordinators: section.coordinators.iter().map(ToString::to_string).collect(),
        resources: section.resources,
        folders: Folders { work: section.work_dir, sockets: section.socket_dir, logs: section.log_dir },
        services: ServiceOptions {
            endpoint: Some(section.cluster.endpoint.to_string()),
            cache_endpoint: section.cluster.cache_endpoint,
            ca_file,
        },
        packages,
        limits,
        metrics: section.metrics.as_ref().map(resolve).transpose()?,
        tls,
        proxy,
        program: PathBuf::from(OWN_PROGRAM),
    })
}

/// The name of a worker that is given none.
fn name_of_host() -> Result<NodeName, Failure> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    NodeName::parse(&host).map_err(Failure::HostName)
}

fn limits(section: &WorkerSection) -> Limits {
    Limits {
        start: section.start_timeout,
        enter: section.enter_timeout,
        leave: section.leave_timeout,
        terminate: section.terminate_grace,
        cancel_grace: section.cancel_grace,
        drain: section.drain_timeout,
        results_bytes_max: section.results_bytes_max,
        logs_kept: section.logs_kept,
    }
}

fn packages(section: &WorkerSection) -> Result<PackageOptions, Failure> {
    let PackagesSection { install_dir, timeout, bytes_max, kept, python, ca_file } = section.packages.clone();
    let ca = ca_file.map(|file| File::new(file.named, file.path));
    let web_tls = ClientFiles { ca, identity: None };
    if web_tls.ca.is_some() {
        // What is wrong with the file is said now, and not when the first package is fetched.
        web_tls.load()?;
    }
    let caches =
        section.cluster.cache_endpoint.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned());
    Ok(PackageOptions {
        dir: std::path::absolute(install_dir)?,
        timeout,
        bytes_max,
        kept,
        python,
        caches: caches.collect(),
        cache_tls: certificates(&section.tls)?,
        web_tls,
    })
}

fn certificates(section: &TlsSection) -> Result<ClientFiles, Refusal> {
    let file = |file: &Option<NamedFile>| file.as_ref().map(|file| File::new(file.named.clone(), file.path.clone()));
    let TlsSection { cert_file, key_file, ca_file, client_ca_file: _ } = section;
    let names = ("worker.tls.cert_file", "worker.tls.key_file");
    ClientFiles::of(file(ca_file), file(cert_file), file(key_file), names)
}

/// The same files for a client of the cluster.
fn client_files(section: &TlsSection) -> TlsFiles {
    let path = |file: &Option<NamedFile>| file.as_ref().map(|file| file.path.clone());
    TlsFiles { ca_file: path(&section.ca_file), cert_file: path(&section.cert_file), key_file: path(&section.key_file) }
}

/// The first address of a host name.
fn resolve(address: &HostPort) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| Failure::Metrics(address.clone(), why);
    let found = (address.host(), address.port()).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.into_iter().next().ok_or_else(|| unknown("it has no address".to_owned()))
}

/// Fires on the first SIGTERM or SIGINT. Must be called inside a runtime.
fn on_signal() -> std::io::Result<oneshot::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        // The worker may be ending by itself: then nobody listens any more.
        let _ = stop.send(());
    });
    Ok(stopped)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static [(&'static str, &'static str)]);

    impl Environment for Fixed {
        fn get(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }
    }

    fn parse(arguments: &[&str], environment: &'static [(&'static str, &'static str)]) -> Result<Options, Failure> {
        let flags = Flags::parse_from([&["flame-worker"], arguments].concat());
        options(load(&flags, &Fixed(environment))?.worker()?)
    }

    #[test]
    fn flags_win_over_the_environment() {
        let flags = ["--name", "w1", "--coordinator", "http://127.0.0.1:1", "--coordinator", "http://127.0.0.1:2"];
        let set =
            [("FLAME_WORKER_NAME", "other"), ("FLAME_WORKER_RESOURCES", "cpu=3,mem=1g"), ("FLAME_SOCKET_DIR", "/s")];
        let options = parse(&flags, Box::leak(Box::new(set))).unwrap();
        assert_eq!(options.name.as_str(), "w1");
        assert_eq!(options.coordinators, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        assert_eq!(options.resources.unwrap().cpu, 3);
        assert_eq!(options.folders.sockets, PathBuf::from("/s"));
        assert_eq!(options.limits, Limits::default(), "the defaults of the configuration are ours");
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for flags in [["--name", "a/b"], ["--resources", "lots"], ["--coordinator", "nowhere:x"]] {
            let failure = parse(&flags, &[]).unwrap_err();
            assert_eq!(failure.exit_code(), EXIT_USAGE, "{failure}");
        }
    }
}
