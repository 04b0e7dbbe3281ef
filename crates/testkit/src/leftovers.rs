//! What a run left that could not clean up after itself, because it was killed.
//!
//! Its daemons are dead: the kernel killed them with it. Services and the folder may be left. Every folder of a cluster
//! names its owner and its run, and only by that is anything removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::RunId;

/// How the folders of clusters begin.
pub(crate) const FOLDER_PREFIX: &str = "flame-run-";

/// The file in such a folder with the pid of its owner and the id of its run.
const OWNER_FILE: &str = "owner";

/// Marks a folder as this process's own.
pub(crate) fn mark(folder: &Path, run: &RunId) -> Result<()> {
    let text = format!("{} {}\n", std::process::id(), run.as_str());
    fs::write(folder.join(OWNER_FILE), text).with_context(|| format!("mark {}", folder.display()))
}

/// Ends the processes and removes the folders of runs whose owner is dead; names what was removed.
///
/// # Errors
/// If a folder cannot be removed.
pub fn clean() -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(std::env::temp_dir()).context("read the folder for temporary files")?.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(FOLDER_PREFIX));
        let Some(run) = is_ours.then(|| orphan(&entry.path())).flatten() else { continue };
        run.kill_leftovers();
        fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        removed.push(entry.path());
    }
    Ok(removed)
}

/// The run of a folder whose owner is dead.
fn orphan(folder: &Path) -> Option<RunId> {
    let text = fs::read_to_string(folder.join(OWNER_FILE)).ok()?;
    let (owner, run) = text.split_once(' ')?;
    let is_dead = !Path::new("/proc").join(owner).exists();
    is_dead.then(|| RunId::parse(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_owners_are_orphans() -> Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(orphan(folder.path()).is_none(), "nobody's folder");
        let run = RunId::new();
        mark(folder.path(), &run)?;
        assert!(orphan(folder.path()).is_none(), "this process lives");
        let mut dead = std::process::Command::new("true").spawn()?;
        let pid = dead.id();
        dead.wait()?;
        fs::write(folder.path().join(OWNER_FILE), format!("{pid} {}\n", run.as_str()))?;
        assert_eq!(orphan(folder.path()), Some(run));
        Ok(())
    }
}
