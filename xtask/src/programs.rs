//! `cargo xtask bench` and `chaos`: build every program as users get it, then start one of them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::next;
use crate::step::cargo;
use crate::verify::PINNED;

/// The scenario that starts the second build of the coordinator too.
const UPGRADES: &str = "rolling-upgrade";

/// Plays a scenario.
pub(crate) fn chaos(root: &Path, arguments: &[&str]) -> Result<ExitCode> {
    if arguments.contains(&UPGRADES) {
        next::build(root)?;
    }
    run(root, "flame-chaos", arguments)
}

/// Builds, and hands the arguments on to the program; stdout and the exit code are its alone.
pub(crate) fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<ExitCode> {
    cargo(root, &[&["build"][..], &PINNED, &["--workspace", "--bins"]].concat())?;
    let mut command = std::process::Command::new("cargo");
    command.args(["run"]).args(PINNED).args(["--quiet", "--package", program, "--bin", program, "--"]).args(arguments);
    let status = command.current_dir(root).status().with_context(|| format!("cannot start {program}"))?;
    // A program that a signal has ended has no code of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
