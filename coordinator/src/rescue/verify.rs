//! `flame-coordinator verify-backup`.

use std::path::Path;

use flame_storage::BackupHeader;
use serde_json::{Value, json};

use super::{VerifyArguments, listed, print};
use crate::consensus::offline::inspect;
use crate::exit::Exit;

/// Checks a backup and prints its header.
///
/// # Errors
/// [`Exit::BadBackup`] says what is wrong with it.
pub fn verify(arguments: &VerifyArguments) -> Result<(), Exit> {
    let beside = || arguments.backup.parent().filter(|folder| !folder.as_os_str().is_empty());
    let scratch = arguments.scratch.as_deref().or_else(beside).unwrap_or(Path::new("."));
    let header = inspect(&arguments.backup, scratch)?;
    print(arguments.output.format, &text(&header), &shown(&header))
}

/// A header for scripts.
pub(super) fn shown(header: &BackupHeader) -> Value {
    let applied = header.manifest.applied;
    json!({
        "cluster_id": header.cluster_id,
        "coordinator": header.node.0,
        "taken": header.taken.0,
        "version": header.version,
        "feature_level": header.feature_level,
        "generation": header.generation.0,
        "confirmed": header.confirmed,
        "index": applied.map_or(0, |applied| applied.index),
        "term": applied.map_or(0, |applied| applied.leader_id.term),
        "digest": format!("{:032x}", header.digest),
        "content_bytes": header.manifest.bytes(),
        "members": header.manifest.membership.nodes().map(|(id, _)| *id).collect::<Vec<_>>(),
    })
}

fn text(header: &BackupHeader) -> String {
    let (index, term) = header.manifest.applied.map_or((0, 0), |applied| (applied.index, applied.leader_id.term));
    let confirmed = match header.confirmed {
        true => "everything that was acknowledged before it was taken",
        false => "what one coordinator held; a majority may have acknowledged more",
    };
    let members = listed(header.manifest.membership.nodes().map(|(id, _)| *id));
    format!(
        "The backup is whole.\n  cluster      {}\n  holds        {confirmed}\n  entry        {index} of term {term}\n  \
         digest       {:032x}\n  members      {members}; taken from {} by release {}\n  generation   {}, feature level {}\n",
        header.cluster_id, header.digest, header.node, header.version, header.generation.0, header.feature_level
    )
}
