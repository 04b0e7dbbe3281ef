//! `flmexec`: runs scripts on the workers of a cluster.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flame_ctl::exec::main().await
}
