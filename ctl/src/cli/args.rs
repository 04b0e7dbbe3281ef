//! What can be typed after `flmctl`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use flame_sdk::TlsFiles;

use super::{
    cache, cancel, close, cluster, completion, create, delete, deploy, explain_error, list, logs, node, object, proxy,
    register, suspend, task, unregister, update, view,
};
use crate::dev;
use crate::output::Color;
use crate::render::Format;
use crate::time::parse_span;

/// The command of users and operators of Flame.
#[derive(Debug, Parser)]
#[command(name = "flmctl", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 the work failed, 2 usage, 3 not found, 4 timed out waiting, \
    5 no leader or cluster unreachable, 6 conflict, 7 not allowed, 130 interrupted.")]
pub struct Cli {
    /// Where the cluster is, and how output looks.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// A coordinator, like http://host:8080; repeat it to name several. Default: FLAME_ENDPOINT (several with commas),
    /// else ~/.flame/flame.yaml, else http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint: Vec<String>,
    /// The file that names the cluster, instead of ~/.flame/flame.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Certificates of this side and of the coordinators
    #[command(flatten)]
    pub tls: TlsArgs,
    /// How long a call may take with all its attempts, like 30s or 2m; default 60s. What waits for something waits so long
    /// in all; for ever when not given
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_span)]
    pub timeout: Option<Duration>,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
}

/// Certificates, for endpoints that begin with https://.
#[derive(Clone, Debug, Args)]
pub struct TlsArgs {
    /// The authorities that coordinators are checked by, in PEM. Default: FLAME_CA_FILE, else those that the system trusts
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to coordinators that demand one, in PEM. Default: FLAME_CERT_FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate, in PEM. Default: FLAME_KEY_FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl From<TlsArgs> for TlsFiles {
    fn from(TlsArgs { ca_file, cert_file, key_file }: TlsArgs) -> Self {
        Self { ca_file, cert_file, key_file }
    }
}

/// Flags of every command that reads.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// How to print
    #[arg(short = 'o', long = "output-format", visible_alias = "output", value_enum, default_value_t)]
    pub format: Format,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show applications, sessions, executors or nodes
    List(list::ListArgs),
    /// Show one application, session, task or node
    View(view::ViewArgs),
    /// Make a session
    Create(Box<create::CreateArgs>),
    /// Close a session
    Close(close::CloseArgs),
    /// Let running tasks of a session finish and start no others
    Suspend(suspend::SessionArgs),
    /// End a suspension
    Resume(suspend::SessionArgs),
    /// Cancel one task
    Cancel(cancel::CancelArgs),
    /// Remove a closed session with its tasks
    Delete(delete::DeleteArgs),
    /// Make applications from a file
    Register(register::RegisterArgs),
    /// Replace an application by what a file says
    Update(update::UpdateArgs),
    /// Put a package where workers fetch it, and make or replace its application
    Deploy(Box<deploy::DeployArgs>),
    /// Remove an application
    Unregister(unregister::UnregisterArgs),
    /// Show and steer the coordinators
    Cluster(cluster::ClusterArgs),
    /// Show what workers hold, and take them out of use
    Node(node::NodeArgs),
    /// Show what was written on workers
    Logs(logs::LogsArgs),
    /// Show the nodes of the object cache
    Cache(cache::CacheArgs),
    /// Show cached objects and where they lie
    Object(object::ObjectArgs),
    /// Ask about one task
    Task(task::TaskArgs),
    /// Serve the published API on this machine, whichever coordinators come and go
    Proxy(proxy::ProxyArgs),
    /// Run a whole cluster on this machine
    Dev(dev::DevArgs),
    /// Say what an exit code means and what to do
    ExplainError(explain_error::ExplainErrorArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
}

impl Command {
    /// How its errors are printed.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::List(args) => args.output.format,
            Self::View(args) => args.output.format,
            Self::Cluster(args) => args.format(),
            Self::Node(args) => args.format(),
            Self::Cache(args) => args.format(),
            Self::Object(args) => args.format(),
            Self::Task(args) => args.format(),
            Self::Logs(args) => args.format(),
            Self::Deploy(args) => args.output.into(),
            Self::Proxy(args) => args.output.format,
            Self::Dev(args) => args.format(),
            Self::ExplainError(args) => args.output.format,
            _ => Format::Table,
        }
    }
}
