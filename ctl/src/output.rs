//! Where output goes.
//!
//! **Invariant:** a reader that goes away ends the command quietly and with success, as for every other tool in a pipe.

use std::io::{ErrorKind, IsTerminal, Write};

use clap::ValueEnum;

use crate::exit::Failure;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether stdout gets colours.
    #[must_use]
    pub fn applies_to_stdout(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !refused && std::io::stdout().is_terminal()
            }
        }
    }
}

/// Whether anybody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Go on.
    Present,
    /// Stop: there is no use in going on.
    Gone,
}

/// Writes data to stdout.
///
/// # Errors
/// When stdout cannot be written for another reason than that its reader has gone.
pub fn print(text: &str) -> Result<Reader, Failure> {
    print_bytes(text.as_bytes())
}

/// Writes data that need be no text to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_bytes(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::failed(format!("cannot write to stdout: {error}"))),
    }
}

/// Writes anything that is not data to stderr.
pub fn note(text: &str) {
    note_bytes(text.as_bytes());
}

/// The same of what need be no text.
pub fn note_bytes(bytes: &[u8]) {
    // There is no better place to report that stderr is closed.
    let _unheard = std::io::stderr().lock().write_all(bytes);
}
