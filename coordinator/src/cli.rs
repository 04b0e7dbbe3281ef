//! The command line of `flame-coordinator`, and the way from configuration to [`node::Options`].

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Parser;
use flame_config::{
    ClusterFile, CoordinatorSection, Flags, HostPort, LogSection, NamedFile, ProcessEnvironment, TlsSection,
};
use flame_machine::config::{ClusterConfig, NodeAvoidance, ObjectsConfig};
use flame_storage::MemberNode;
use flame_tls::{File, ServerFiles, ServerSide};

use crate::builtins::builtins;
use crate::consensus::{Profile, SnapshotLimits};
use crate::drive::leader::Defaults;
use crate::exit::Exit;
use crate::memory::Memory;
use crate::node::{Listen, Options};
use crate::rescue::{Command, RecoverArguments, RestoreArguments, VerifyArguments};

/// Tasks that may wait on an executor behind the one it runs. How many do follows their running time: short tasks get
/// what hides the way to the leader and back, long ones none.
const PREFETCH_MAX: u32 = 256;

/// While a snapshot is on its way, the log may grow to so many times what is usual.
const HELD_TIMES: u64 = 4;

/// One replica of Flame's control plane.
#[derive(Debug, Parser)]
#[command(name = "flame-coordinator", version = crate::VERSION)]
pub struct Arguments {
    /// Configuration file; ~/.flame/flame-cluster.yaml when not given and present.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Id of this coordinator among coordinator.members.
    #[arg(long, global = true)]
    id: Option<u64>,
    /// Peer addresses of members of a running cluster: wait until one of them adds this coordinator
    /// (flmctl cluster add). Instead of coordinator.members.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    join: Vec<String>,
    /// Folder of its log, state and identity.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Address for clients.
    #[arg(long, value_name = "HOST:PORT")]
    listen_client: Option<String>,
    /// Address for workers.
    #[arg(long, value_name = "HOST:PORT")]
    listen_worker: Option<String>,
    /// Address for other coordinators.
    #[arg(long, value_name = "HOST:PORT")]
    listen_peer: Option<String>,
    /// Address for metrics and health over plain HTTP, or off.
    #[arg(long, value_name = "HOST:PORT")]
    listen_metrics: Option<String>,
    /// How fast a lost leader is replaced: default or fast.
    #[arg(long)]
    profile: Option<String>,
    /// Memory of this coordinator, like 512m or 2g.
    #[arg(long, value_name = "BYTES")]
    memory: Option<String>,
    /// Plaintext may leave this machine, where nothing is encrypted (cluster.tls) and for metrics.
    #[arg(long)]
    insecure: bool,
    /// Print every setting with its source, and stop.
    #[arg(long)]
    print_config: bool,
    /// Acknowledge writes before they are on disk. A cluster that runs so loses data when the power fails; this exists
    /// to prove that the tests would notice.
    #[arg(long, hide = true)]
    unsafe_no_sync_for_tests: bool,
    /// What to do instead of running.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What the command line asks for.
pub enum Action {
    /// Print this and stop.
    Print(String),
    /// Run a coordinator.
    Run(Box<Options>),
    /// Fill the data directory of this coordinator.
    Restore(RestoreArguments, Box<Options>),
    /// Recover the coordinator of this directory.
    Recover(RecoverArguments, PathBuf),
    /// Check a backup.
    VerifyBackup(VerifyArguments),
}

impl Arguments {
    /// Reads the configuration and puts the flags over it.
    ///
    /// # Errors
    /// [`Exit::Usage`] with a sentence that names the setting, its source and what is wrong with it.
    pub fn resolve(self) -> Result<Action, Exit> {
        match (&self.command, &self.data_dir) {
            (Some(Command::VerifyBackup(arguments)), _) => return Ok(Action::VerifyBackup(arguments.clone())),
            // The directory itself says whose it is.
            (Some(Command::Recover(arguments)), Some(dir)) => {
                return Ok(Action::Recover(arguments.clone(), dir.clone()));
            }
            _ => {}
        }
        let usage = |error: flame_config::ConfigError| Exit::Usage(error.to_string());
        let file = ClusterFile::load_with(self.config.as_deref(), &ProcessEnvironment, &self.flags()).map_err(usage)?;
        if self.print_config {
            return Ok(Action::Print(file.print()));
        }
        for warning in file.warnings() {
            tracing::warn!("{warning}");
        }
        let section = file.coordinator().map_err(usage)?;
        let mut options = Box::new(options(&section)?);
        options.sync = !self.unsafe_no_sync_for_tests;
        Ok(match self.command {
            None => Action::Run(options),
            Some(Command::Restore(arguments)) => Action::Restore(arguments, options),
            Some(Command::Recover(arguments)) => Action::Recover(arguments, options.data_dir),
            Some(Command::VerifyBackup(arguments)) => Action::VerifyBackup(arguments),
        })
    }

    /// Whether no coordinator is to be run.
    #[must_use]
    pub fn is_rescue(&self) -> bool {
        self.command.is_some()
    }

    fn flags(&self) -> Flags {
        let data_dir = self.data_dir.as_ref().map(|path| path.display());
        Flags::default()
            .set("coordinator.id", "--id", self.id)
            .set_list("coordinator.join", "--join", self.join.iter().cloned())
            .set("coordinator.data_dir", "--data-dir", data_dir)
            .set("coordinator.listen.client", "--listen-client", self.listen_client.as_ref())
            .set("coordinator.listen.worker", "--listen-worker", self.listen_worker.as_ref())
            .set("coordinator.listen.peer", "--listen-peer", self.listen_peer.as_ref())
            .set("coordinator.listen.metrics", "--listen-metrics", self.listen_metrics.as_ref())
            .set("coordinator.profile", "--profile", self.profile.as_ref())
            .set("coordinator.memory", "--memory", self.memory.as_ref())
            .set("coordinator.insecure", "--insecure", self.insecure.then_some(true))
    }
}

fn options(section: &CoordinatorSection) -> Result<Options, Exit> {
    let members = section.members.iter().map(|member| {
        let node = MemberNode {
            peer: member.peer.to_string(),
            client: member.client.to_string(),
            worker: member.worker.to_string(),
            ..MemberNode::default()
        };
        (member.id, node)
    });
    let config = ClusterConfig {
        default_resources: section.cluster.default_resources,
        retry: section.retry,
        avoidance: NodeAvoidance {
            failures: section.avoidance.failures,
            backoff_ms: section.avoidance.backoff_ms,
            backoff_ms_max: section.avoidance.backoff_ms_max,
        },
        retention: section.retention,
        kept_bytes_max: section.kept_bytes_max,
        objects: ObjectsConfig {
            copies: section.objects.copies,
            session_copies: section.objects.session_copies,
            app_bytes_max: section.objects.app_bytes_max,
        },
        prefetch_max: PREFETCH_MAX,
        ..ClusterConfig::default()
    };
    Ok(Options {
        id: section.id,
        cluster_id: section.cluster.name.clone(),
        data_dir: section.data_dir.clone(),
        listen: Listen {
            client: resolve("coordinator.listen.client", &section.listen.client)?,
            worker: resolve("coordinator.listen.worker", &section.listen.worker)?,
            peer: resolve("coordinator.listen.peer", &section.listen.peer)?,
            metrics: match &section.listen.metrics {
                Some(address) => Some(resolve("coordinator.listen.metrics", address)?),
                None => None,
            },
        },
        members: members.collect(),
        disk_floor: section.disk_floor,
        join: section.join.iter().map(ToString::to_string).collect(),
        own: MemberNode {
            peer: section.listen.peer.to_string(),
            client: section.listen.client.to_string(),
            worker: section.listen.worker.to_string(),
            ..MemberNode::default()
        },
        memory: Memory::new(section.memory).map_err(|error| Exit::Usage(error.to_string()))?,
        profile: match section.profile {
            flame_config::Profile::Default => Profile::Default,
            flame_config::Profile::Fast => Profile::Fast,
        },
        snapshots: snapshots(&section.log),
        behind_max: section.log.behind_max,
        defaults: Defaults { config, builtins: builtins() },
        tls: tls(&section.cluster.tls)?,
        sync: true,
    })
}

fn tls(section: &TlsSection) -> Result<Option<ServerSide>, Exit> {
    let file = |file: &Option<NamedFile>| file.as_ref().map(|file| File::new(file.named.clone(), file.path.clone()));
    let TlsSection { cert_file, key_file, ca_file, client_ca_file } = section;
    let files = ServerFiles::of(file(cert_file), file(key_file), file(ca_file), file(client_ca_file));
    let loaded = files.and_then(|files| files.map(|files| files.load()).transpose());
    loaded.map_err(|refusal| Exit::Usage(refusal.to_string()))
}

fn snapshots(section: &LogSection) -> SnapshotLimits {
    let limits = SnapshotLimits::default();
    SnapshotLimits {
        log_bytes_max: section.bytes_max,
        log_bytes_kept: section.bytes_kept,
        log_bytes_held_max: limits.log_bytes_held_max.max(section.bytes_max.saturating_mul(HELD_TIMES)),
        ship_bytes_per_second: section.snapshot_rate,
        ..limits
    }
}

/// The first address of a host name: listeners bind one.
fn resolve(key: &str, address: &HostPort) -> Result<SocketAddr, Exit> {
    let found = (address.host(), address.port()).to_socket_addrs();
    let found = found.map_err(|error| Exit::Usage(format!("{key}: {address} cannot be resolved: {error}")))?;
    found.into_iter().next().ok_or_else(|| Exit::Usage(format!("{key}: {address} has no address")))
}
