//! `flame-chaos`: the demo, the scenarios, and the service that their workers start.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use flame_chaos::disks::Journal;
use flame_chaos::scenarios::command::Scenario;
use flame_chaos::{demo, nested, service};
use flame_testkit::leftovers;

/// As a shell has it: 128 and the number of the signal.
const EXIT_INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(name = "flame-chaos", version, about = "Breaks a cluster of real processes and counts what was lost")]
struct Arguments {
    /// How a scenario's report is printed on stdout.
    #[arg(short, long, value_enum, default_value_t = Output::Line, global = true)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// One line for people and for grep.
    Line,
    /// One JSON object.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Runs tasks through a three-node cluster whose leader is killed half-way.
    Demo(demo::Options),
    #[command(flatten)]
    Scenario(Scenario),
    /// Ends the processes and removes the files of runs that were killed before they could.
    Clean,
    /// Runs tasks for a worker; started by workers only.
    #[command(hide = true)]
    Service,
    /// Runs tasks that run tasks themselves; started by workers only.
    #[command(hide = true)]
    Nested,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { output, command } = Arguments::parse();
    let outcome = match command {
        Command::Demo(options) => demo::run(options).await.map(code),
        Command::Scenario(scenario) => play(scenario, output).await,
        Command::Clean => clean().map(code),
        Command::Service => service::run().await.map(|()| 0),
        Command::Nested => nested::run().await.map(|()| 0),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("flame-chaos: {error:#}");
            ExitCode::from(if error.is::<demo::Interrupted>() { EXIT_INTERRUPTED } else { 1 })
        }
    }
}

fn code(is_well: bool) -> u8 {
    u8::from(!is_well)
}

/// Ctrl-C ends a scenario and everything that it has started.
async fn play(scenario: Scenario, output: Output) -> anyhow::Result<u8> {
    let report = tokio::select! {
        report = scenario.play() => report?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            return Err(demo::Interrupted.into());
        }
    };
    match output {
        Output::Line => println!("{report}"),
        Output::Json => println!("{}", report.json()),
    }
    Ok(report.outcome.exit_code())
}

fn clean() -> anyhow::Result<bool> {
    // To begin a journal is to take down what the journals of dead runs say.
    drop(Journal::begin()?);
    for folder in leftovers::clean()? {
        eprintln!("removed {}", folder.display());
    }
    Ok(true)
}
