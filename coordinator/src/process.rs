//! The program: from the command line to the exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::{cli, node, rescue};

/// What this build calls itself.
pub const VERSION: &str =
    if cfg!(feature = "next-level") { concat!(env!("CARGO_PKG_VERSION"), "+next") } else { env!("CARGO_PKG_VERSION") };

/// Runs a coordinator as its command line says.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = cli::Arguments::parse();
    // Who is watched by a person says what matters himself.
    let quiet = arguments.is_rescue().then(|| "warn".to_owned());
    let variable = |name: &str| std::env::var(name).ok().or_else(|| quiet.clone().filter(|_| name == "FLAME_LOG"));
    if let Err(error) = flame_telemetry::init_with("flame-coordinator", variable) {
        eprintln!("flame-coordinator: {error}");
        return ExitCode::from(2);
    }
    let ended = match arguments.resolve() {
        Ok(cli::Action::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(cli::Action::Run(options)) => node::run(*options),
        Ok(cli::Action::Restore(arguments, options)) => rescue::restore(&arguments, &options),
        Ok(cli::Action::Recover(arguments, data_dir)) => rescue::recover(&arguments, &data_dir),
        Ok(cli::Action::VerifyBackup(arguments)) => rescue::verify(&arguments),
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
