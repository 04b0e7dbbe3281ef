//! The program `flame-cache`.

use std::process::ExitCode;

use clap::Parser;
use flame_cache::cli::{self, Flags};

fn main() -> ExitCode {
    cli::main(&Flags::parse())
}
