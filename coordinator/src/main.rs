//! `flame-coordinator`: one replica of Flame's control plane.

use std::process::ExitCode;

use clap::Parser;
use flame_coordinator::{cli, node};

fn main() -> ExitCode {
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
