//! What a started process does before it becomes the service: it ties its life to the worker's.
//!
//! The kernel can kill a process when its parent dies, but a process has to ask for that itself, between fork and exec.
//! Doing so from the parent needs unsafe code; so the worker starts *itself* with [`SUBCOMMAND`], and this code asks,
//! checks that the worker has not died meanwhile, and then becomes the command.
//!
//! **Invariant:** the process id does not change: what the worker started is what it signals.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// First argument of the worker's program when it is to become a service. Not for people.
pub const SUBCOMMAND: &str = "__exec";

/// Exit code of a process that could not become its command, as shells have it.
pub const EXIT_NOT_STARTED: u8 = 127;

/// Becomes the command. `arguments` are the worker's process id, the program, and the program's arguments.
/// Returns only when that failed; why is on standard error, which is the log of the service.
pub fn become_service(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let parent = arguments.next().and_then(|text| text.to_str()?.parse::<i32>().ok());
    let (Some(parent), Some(program)) = (parent, arguments.next()) else {
        eprintln!("flame-worker: {SUBCOMMAND} is for the worker itself; see flame-worker --help");
        return ExitCode::from(EXIT_NOT_STARTED);
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("flame-worker: cannot tie the service to the life of its worker: {error}");
        return ExitCode::from(EXIT_NOT_STARTED);
    }
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        eprintln!("flame-worker: the worker died while it started this service");
        return ExitCode::from(EXIT_NOT_STARTED);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("flame-worker: cannot run {}: {error}", program.display());
    ExitCode::from(EXIT_NOT_STARTED)
}
