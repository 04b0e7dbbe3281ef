//! `flame-coordinator`: one replica of Flame's control plane.

use std::process::ExitCode;

fn main() -> ExitCode {
    flame_coordinator::process::run()
}
