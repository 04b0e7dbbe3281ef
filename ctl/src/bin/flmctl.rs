//! `flmctl`: the command of users and operators.

use std::process::ExitCode;

// One thread: a process that this one starts ends when the *thread* that started it ends (see `dev::child`).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    flame_ctl::cli::main().await
}
