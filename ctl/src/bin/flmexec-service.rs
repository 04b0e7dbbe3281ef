//! `flmexec-service`: what a worker starts to run scripts, and what the service starts to keep each of them.

use std::process::ExitCode;

use flame_ctl::exec::{keeper, service};

// One thread: scripts are processes of their own, and the socket has a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == keeper::SUBCOMMAND => keeper::main(words).await,
        _ => service::main().await,
    }
}
