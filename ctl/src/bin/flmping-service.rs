//! `flmping-service`: what a worker starts to run the tasks of `flmping`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flame_ctl::ping::service::main().await
}
