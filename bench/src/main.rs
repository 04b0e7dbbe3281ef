//! `flame-bench`: measures clusters of real processes on this machine. Run it as `cargo xtask bench`.
//!
//! Nothing is simulated: the programs are the ones that users start, each run has a cluster of its own, the client is
//! this process with our own SDK, and every output is compared with its input.
//!
//! **Invariant:** a run whose tasks were lost or came back wrong gives no figures but an error, and the exit code says so.
//! **Invariant:** stdout has the report and nothing else; what goes on is told on stderr.
//!
//! | module | holds |
//! |---|---|
//! | [`workloads`] | what is measured, one file each |
//! | [`series`] | runs them several times |
//! | [`scene`], [`client`], [`payload`], [`service`] | the cluster, who submits, what is submitted, who runs it |
//! | [`watcher`], [`simulated`], [`companion`] | watchers, workers that only speak, processes beside this one |
//! | [`pace`] | a load at a steady rate |
//! | [`meter`], [`accounting`] | what a stretch of a run costs: processor time, memory, disk |
//! | [`samples`], [`scrape`], [`plot`], [`wall`] | a long run while it goes on, what coordinators tell of themselves, curves, and the time that processes share |
//! | [`peers`] | other systems beside ours, and ratios |
//! | [`charts`], [`bars`] | a report as pictures |
//! | [`profile`], [`stacks`] | which functions cost it |
//! | [`figures`], [`statistics`], [`report`] | numbers, medians, JSON and Markdown |
//! | [`host`], [`settings`], [`arguments`] | the machine, how a run is to go, the command line |

mod accounting;
mod arguments;
mod bars;
mod charts;
mod client;
mod companion;
mod figures;
mod host;
mod meter;
mod objects;
mod pace;
mod payload;
mod peers;
mod plot;
mod profile;
mod report;
mod samples;
mod scene;
mod scrape;
mod series;
mod service;
mod settings;
mod simulated;
mod stacks;
mod statistics;
mod wall;
mod watcher;
mod workloads;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::runtime::Builder;

use crate::arguments::{Arguments, Command, Plan};

/// As a shell has it: 128 and the number of the signal.
const EXIT_INTERRUPTED: u8 = 130;

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        // One thread, as a service with one task at a time needs.
        Some(Command::Service) => block_on(Builder::new_current_thread(), service::run()).map(|()| ExitCode::SUCCESS),
        Some(Command::SimulatedWorkers(arguments)) => {
            block_on(Builder::new_multi_thread(), simulated::run(arguments)).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Chart { report, folder }) => charts::draw_again(&report, &folder).map(|written| {
            written.iter().for_each(|path| eprintln!("wrote {}", path.display()));
            ExitCode::SUCCESS
        }),
        None => block_on(Builder::new_multi_thread(), bench(arguments.plan)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("flame-bench: {error:#}");
        ExitCode::FAILURE
    })
}

fn block_on<T>(mut builder: Builder, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = builder.enable_all().build().context("start the runtime")?;
    let outcome = runtime.block_on(work);
    // Somebody may still wait for a line on stdin, which no end of the work ends.
    runtime.shutdown_background();
    outcome
}

async fn bench(plan: Plan) -> Result<ExitCode> {
    if plan.workloads().is_empty() {
        eprintln!("name workloads, or --all; there are: {}", arguments::names().join(", "));
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    tokio::select! {
        report = series::run(&plan) => {
            let report = report?;
            if plan.json {
                println!("{}", report.json());
            } else {
                print!("{}", report.markdown());
            }
            if !report.is_good() {
                bail!("a workload went wrong");
            }
            Ok(ExitCode::SUCCESS)
        }
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("wait for Ctrl-C")?;
            eprintln!("flame-bench: interrupted; everything that was started has been ended");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}
