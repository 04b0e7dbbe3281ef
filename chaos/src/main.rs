//! `flame-chaos demo`, and the service that the demo's workers start.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flame_chaos::disks::Journal;
use flame_chaos::{demo, service};
use flame_testkit::leftovers;

/// As a shell has it: 128 and the number of the signal.
const EXIT_INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(name = "flame-chaos", version, about = "Breaks a cluster of real processes and counts what was lost")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs tasks through a three-node cluster whose leader is killed half-way.
    Demo(demo::Options),
    /// Ends the processes and removes the files of runs that were killed before they could.
    Clean,
    /// Runs tasks for a worker; started by workers only.
    #[command(hide = true)]
    Service,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(options) => demo::run(options).await,
        Command::Clean => clean(),
        Command::Service => service::run().await.map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flame-chaos: {error:#}");
            if error.is::<demo::Interrupted>() { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

fn clean() -> anyhow::Result<bool> {
    // To begin a journal is to take down what the journals of dead runs say.
    drop(Journal::begin()?);
    for folder in leftovers::clean()? {
        eprintln!("removed {}", folder.display());
    }
    Ok(true)
}
