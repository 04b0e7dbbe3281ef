//! `flame-coordinator-next`: the same coordinator, made with one feature level more. Upgrades and downgrades are tested with
//! it; nobody else runs it, and no ordinary build makes it.

use std::process::ExitCode;

fn main() -> ExitCode {
    flame_coordinator::process::run()
}
