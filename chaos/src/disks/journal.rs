//! What was mounted and attached.
//!
//! Each line is written and synced *before* the thing is done. The journal is named for the process that keeps it; a
//! later run takes down what a dead one left.
//!
//! **Invariant:** only what stands in a journal is taken down, never what merely looks like ours.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// Where the system keeps the names of network namespaces.
const NAMESPACES: &str = "/run/netns";

/// One thing that must be undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// A file system is mounted there.
    Mounted(PathBuf),
    /// A loop device serves this file.
    Attached(PathBuf),
    /// There is a network namespace of this name.
    Namespace(String),
}

/// The deeds of one run. Dropping it undoes them, the last one first.
pub struct Journal {
    path: PathBuf,
    file: File,
    deeds: Vec<Deed>,
}

impl Journal {
    /// Takes down what dead runs left, then begins a journal for this process.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn begin() -> Result<Self> {
        let folder = std::env::temp_dir().join("flame-chaos-journals");
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        sweep(&folder)?;
        let path = folder.join(format!("{}.journal", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        Ok(Self { path, file, deeds: Vec::new() })
    }

    /// Notes a deed that is about to be done.
    ///
    /// # Errors
    /// If it cannot be noted: then it must not be done.
    pub(crate) fn note(&mut self, deed: Deed) -> Result<()> {
        let line = match &deed {
            Deed::Mounted(path) => format!("mounted {}\n", path.display()),
            Deed::Attached(path) => format!("attached {}\n", path.display()),
            Deed::Namespace(name) => format!("namespace {name}\n"),
        };
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).context("write the journal")?;
        self.deeds.push(deed);
        Ok(())
    }

    /// Undoes the last deed if it is this one. Undone deeds may stay in the file: undoing twice harms nobody.
    pub(crate) fn undo(&mut self, deed: &Deed) -> Result<()> {
        undo(deed)?;
        self.deeds.retain(|noted| noted != deed);
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let failures: Vec<_> = self.deeds.iter().rev().filter_map(|deed| undo(deed).err()).collect();
        if failures.is_empty() {
            let _gone = std::fs::remove_file(&self.path);
        } else {
            eprintln!("not taken down, the next run will try again: {failures:?}");
        }
    }
}

/// Undoes what journals of dead processes say.
fn sweep(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).context("read the folder of journals")?.flatten() {
        let path = entry.path();
        let pid = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| !Path::new("/proc").join(pid.to_string()).exists()) else { continue };
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let deeds: Vec<_> = text.lines().filter_map(parse).collect();
        eprintln!("taking down what the dead process {pid} left: {deeds:?}");
        deeds.iter().rev().try_for_each(undo)?;
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

fn parse(line: &str) -> Option<Deed> {
    let (kind, path) = line.split_once(' ')?;
    match kind {
        "mounted" => Some(Deed::Mounted(path.into())),
        "attached" => Some(Deed::Attached(path.into())),
        "namespace" => Some(Deed::Namespace(path.to_owned())),
        _ => None,
    }
}

fn undo(deed: &Deed) -> Result<()> {
    match deed {
        Deed::Mounted(at) if is_mounted(at)? => run(Command::new("umount").arg(at)).map(drop),
        Deed::Attached(image) => loop_devices(image)?
            .iter()
            .try_for_each(|device| run(Command::new("losetup").arg("--detach").arg(device)).map(drop)),
        Deed::Namespace(name) if Path::new(NAMESPACES).join(name).exists() => {
            run(Command::new("ip").args(["netns", "delete", name])).map(drop)
        }
        Deed::Mounted(_) | Deed::Namespace(_) => Ok(()),
    }
}

fn is_mounted(at: &Path) -> Result<bool> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("read the list of mounts")?;
    let at = at.to_str().ok_or_else(|| anyhow!("{} is not text", at.display()))?;
    Ok(mounts.lines().any(|line| line.split(' ').nth(1) == Some(at)))
}

/// Loop devices that serve this very file.
pub(crate) fn loop_devices(image: &Path) -> Result<Vec<String>> {
    let listed = run(Command::new("losetup").args(["--noheadings", "--output", "NAME", "--associated"]).arg(image))?;
    Ok(listed.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Runs a tool to its end and gives its output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("start {shown}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(anyhow!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        assert_eq!(parse("mounted /tmp/a b"), Some(Deed::Mounted("/tmp/a b".into())));
        assert_eq!(parse("attached /tmp/x"), Some(Deed::Attached("/tmp/x".into())));
        assert_eq!(parse("namespace flame-7-1"), Some(Deed::Namespace("flame-7-1".to_owned())));
        assert_eq!(parse("torn"), None);
    }

    #[test]
    fn nothing_is_mounted_where_nothing_is() -> Result<()> {
        assert!(!is_mounted(Path::new("/no/such/place"))?);
        undo(&Deed::Mounted("/no/such/place".into()))
    }

    #[test]
    fn a_tool_that_fails_says_why() {
        let text = run(Command::new("ls").arg("/no/such/place")).expect_err("it fails").to_string();
        assert!(text.contains("No such file"), "{text}");
    }
}
