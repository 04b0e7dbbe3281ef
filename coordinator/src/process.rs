//! The program: from the command line to the exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::{cli, node};

/// What this build calls itself.
pub const VERSION: &str =
    if cfg!(feature = "next-level") { concat!(env!("CARGO_PKG_VERSION"), "+next") } else { env!("CARGO_PKG_VERSION") };

/// Runs a coordinator as its command line says.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = cli::Arguments::parse();
    if let Err(error) = flame_telemetry::init("flame-coordinator") {
        eprintln!("flame-coordinator: {error}");
        return ExitCode::from(2);
    }
    let ended = match arguments.resolve() {
        Ok(cli::Action::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(cli::Action::Run(options)) => node::run(*options),
        Err(exit) => Err(exit),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("flame-coordinator: {exit}");
            exit.code()
        }
    }
}
