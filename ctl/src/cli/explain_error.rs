//! `flmctl explain-error`.

use clap::Args;

use super::{GlobalArgs, OutputArgs};
use crate::exit::{Exit, Failure};
use crate::explain::Explanation;
use crate::output::print;
use crate::render::render;

/// Flags of `flmctl explain-error`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ExplainErrorArgs {
    /// The exit code of a daemon or a command
    pub code: u8,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Needs no cluster: it is asked when there may be none.
pub(super) fn run(args: ExplainErrorArgs, global: &GlobalArgs) -> Result<(), Failure> {
    let explanation = Explanation::of(args.code);
    if explanation.meanings.is_empty() {
        let failure = Failure::new(Exit::NotFound, format!("no program ends with code {}", args.code));
        return Err(failure.hint(
            "a code above 128 stands for a signal: 137 is SIGKILL, 134 an abort because an invariant was broken",
        ));
    }
    print(&render(&explanation, args.output.format, global.color.applies_to_stdout())?).map(|_| ())
}
