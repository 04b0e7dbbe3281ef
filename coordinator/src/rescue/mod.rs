//! `flame-coordinator restore | recover | verify-backup`: what is done while no coordinator runs.
//!
//! `flmctl cluster` has the same verbs and starts this program for them: only it knows what lies in a data directory.
//!
//! **Invariant:** what cannot be undone is said first, on standard error, and waits for a yes.
//! **Invariant:** data goes to stdout, in a form for people or as one JSON object; all else to stderr.

mod arguments;
mod confirm;
mod recover;
mod restore;
mod verify;

use std::io::Write;

use anyhow::Context;
use serde_json::Value;

pub use arguments::{Command, Format, OutputArguments, RecoverArguments, RestoreArguments, VerifyArguments};
pub use recover::recover;
pub use restore::restore;
pub use verify::verify;

use crate::consensus::StartError;
use crate::exit::Exit;

/// The same refusals as at the start of a coordinator, with remedies for who has none that runs.
fn refused(error: StartError) -> Exit {
    use flame_storage::Error as Storage;
    let text = error.to_string();
    match error {
        StartError::Storage(Storage::AlreadyOpen(_)) => {
            Exit::OtherNode(format!("{text}: stop the coordinator first; nothing was done"))
        }
        StartError::Storage(
            Storage::DamagedState { .. }
            | Storage::DamagedLog { .. }
            | Storage::LostState { .. }
            | Storage::DamagedIdentity { .. }
            | Storage::Quarantine(_),
        ) => Exit::Damaged(format!("{text}. Recover another coordinator that is left, or restore a backup")),
        other => other.into(),
    }
}

/// Prints what was done.
fn print(format: Format, text: &str, json: &Value) -> Result<(), Exit> {
    let shown = match format {
        Format::Text => text.to_owned(),
        Format::Json => format!("{json}\n"),
    };
    let mut stdout = std::io::stdout().lock();
    Ok(stdout.write_all(shown.as_bytes()).and_then(|()| stdout.flush()).context("cannot write to stdout")?)
}

/// Numbers of members, for people.
fn listed<T: ToString>(ids: impl IntoIterator<Item = T>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    if ids.is_empty() { "-".to_owned() } else { ids.join(", ") }
}
