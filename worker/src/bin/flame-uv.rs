//! The program `flame-uv`, installed as `${FLAME_HOME}/bin/uv` where there is no uv.

use std::process::ExitCode;

fn main() -> ExitCode {
    flame_worker::uv::main(std::env::args_os().skip(1))
}
