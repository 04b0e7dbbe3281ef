//! `flmping-service`: what a worker starts to run the tasks of `flmping`.

use std::process::ExitCode;

// One thread: tasks run one after the other, and the socket has a thread of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    flame_ctl::ping::service::main().await
}
