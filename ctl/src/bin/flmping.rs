//! `flmping`: runs tasks that do nothing, and says how fast that went.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flame_ctl::ping::main().await
}
