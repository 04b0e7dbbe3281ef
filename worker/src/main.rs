//! The program `flame-worker`.

use std::process::ExitCode;

use clap::Parser;
use flame_worker::cli::{self, Flags};
use flame_worker::shim::exec;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == exec::SUBCOMMAND) {
        return exec::become_service(arguments);
    }
    cli::main(&Flags::parse())
}
