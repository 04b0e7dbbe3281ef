//! The published Rust client, unmodified, against our cluster.
//!
//! `suite` runs every check and prints one line each; `failover` keeps runs in flight while somebody outside kills
//! the leader. Both talk to one endpoint only, as users of the published crate do.
//!
//! **Invariant:** what is expected comes from the published contract, never from what our server happens to do.

mod applications;
mod check;
mod failover;
mod sessions;
mod tasks;
mod watches;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::check::{Check, run_all};
use crate::world::World;

#[derive(Parser)]
#[command(about = "Runs the published Rust client against a cluster")]
struct Arguments {
    /// Where the client connects, for example http://127.0.0.1:8080.
    #[arg(long)]
    endpoint: String,
    /// The echo service binary, as our worker starts it.
    #[arg(long)]
    echo: String,
    /// The typed service binary.
    #[arg(long)]
    typed_echo: String,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Every check, or those whose name contains the text.
    Suite {
        #[arg(long)]
        only: Option<String>,
    },
    /// Runs in flight across a leader's death.
    Failover {
        /// Where the echo service logs its invocations.
        #[arg(long)]
        echo_log: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let world = match World::connect(&arguments.endpoint, arguments.echo, arguments.typed_echo).await {
        Ok(world) => world,
        Err(error) => {
            eprintln!("cannot connect to {}: {error}", arguments.endpoint);
            return ExitCode::FAILURE;
        }
    };
    match arguments.mode {
        Mode::Suite { only } => run_all(&world, &checks(), only.as_deref()).await,
        Mode::Failover { echo_log } => failover::run(&world, &echo_log).await,
    }
}

fn checks() -> Vec<Check> {
    [applications::checks(), sessions::checks(), tasks::checks(), watches::checks()].concat()
}
