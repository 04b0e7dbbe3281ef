//! What can be typed after `flame-coordinator restore`, `recover` and `verify-backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What is done instead of running a coordinator.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Fill the empty data directory of this coordinator from a backup; it then starts as a cluster of one
    Restore(RestoreArguments),
    /// Let this coordinator go on alone when a majority is gone for ever. What the others had beyond it is lost
    Recover(RecoverArguments),
    /// Check a backup from its first byte to its last
    VerifyBackup(VerifyArguments),
}

/// Of `restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArguments {
    /// A file that `flmctl cluster backup` has written
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// How to print
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Of `recover`.
#[derive(Clone, Debug, Args)]
pub struct RecoverArguments {
    /// Take the vote from all other coordinators, for ever
    #[arg(long)]
    pub force_new: bool,
    /// Do not ask for the name of the cluster before it is done
    #[arg(long)]
    pub yes: bool,
    /// Only say what would be done
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Of `verify-backup`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// A file that `flmctl cluster backup` has written
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// A folder with as much room as the backup takes; that of the backup when not given
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// How to print
    #[command(flatten)]
    pub output: OutputArguments,
}

/// How to print.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArguments {
    /// For people, or for scripts
    #[arg(short, long = "output", value_enum, default_value_t)]
    pub format: Format,
}

/// A form of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}
