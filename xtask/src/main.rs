//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! | command | does |
//! |---|---|
//! | `verify` | every check CI makes, in the same order; changes nothing. `--quick` leaves the tests out |
//! | `fix` | formats, and lets clippy mend what it can |
//! | `tidy` | the rules of the tree alone: seconds, no compiling |
//! | `next` | builds the coordinator of one feature level more, for tests of upgrades |
//! | `bench` | builds every program and measures with them (docs/performance.md); not part of CI |
//! | `chaos` | builds every program and plays a scenario with them (docs/reference/chaos.md); not part of CI |
//!
//! **Invariant:** CI runs `verify` and nothing beside it, so that whoever ran `verify` knows what CI will say.

mod next;
mod programs;
mod step;
mod tidy;
mod verify;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask verify [--quick] | fix | tidy | next
       cargo xtask bench [NAME...] [--all] [--json] [--runs N] [--tasks N] [--profile] [--seed N] [--out FOLDER]
                         [--vs PEER,...] [--no-install]
       cargo xtask bench chart REPORT FOLDER
       cargo xtask chaos SCENARIO [FLAG...]      (`cargo xtask chaos help` names them)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root of the workspace");
    let success = |()| ExitCode::SUCCESS;
    let outcome = match arguments.as_slice() {
        ["verify"] => verify::verify(root, verify::Scope::All).map(success),
        ["verify", "--quick"] => verify::verify(root, verify::Scope::Quick).map(success),
        ["fix"] => verify::fix(root).map(success),
        ["tidy"] => tidy::run(root).map(success),
        ["next"] => next::build(root).map(success),
        ["bench", arguments @ ..] => programs::run(root, "flame-bench", arguments),
        ["chaos", arguments @ ..] => programs::chaos(root, arguments),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
