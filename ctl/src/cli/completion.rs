//! `flmctl completion`.

use clap::Args;
use clap_complete::Shell;

use crate::exit::Failure;
use crate::output::print;

/// Flags of `flmctl completion`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

pub(super) fn run(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "flmctl", &mut script);
    print(&String::from_utf8_lossy(&script)).map(|_| ())
}
