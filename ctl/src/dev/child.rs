//! The moment between fork and exec: makes sure that a daemon dies with its supervisor, even when that is killed.
//!
//! The supervisor does not start a daemon itself but `flmctl dev child`, which asks the kernel for a signal at the death
//! of its parent and then becomes the daemon. The kernel means the *thread* that forked, so the supervisor forks from
//! its main thread only: `flmctl` has no other.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::exit::Failure;

/// Arguments of the hidden `flmctl dev child`.
#[derive(Clone, Debug, Args)]
pub struct ChildArgs {
    /// Who started this process
    #[arg(long)]
    parent: i32,
    /// What to become
    program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the daemon; returns only if that fails.
pub(super) fn run(args: &ChildArgs) -> Failure {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Failure::failed(format!("cannot ask for a signal at the end of the supervisor: {error}"));
    }
    // It may have ended before the request was made.
    if getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return Failure::failed("the supervisor has ended");
    }
    let error = Command::new(&args.program).args(&args.arguments).exec();
    Failure::failed(format!("cannot start {}: {error}", args.program.display()))
}

/// The command that becomes `program`.
pub(super) fn command(flmctl: &std::path::Path, program: &std::path::Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(flmctl);
    command.args(["dev", "child", "--parent"]).arg(std::process::id().to_string()).arg("--").arg(program);
    command
}
