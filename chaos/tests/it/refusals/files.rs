//! Files of a cluster: configurations to vary, data to copy and to damage.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flame_testkit::Cluster;
use flame_types::CoordinatorId;

use crate::programs::{Ended, Running};

/// Flags for listeners that get in nobody's way: for coordinators that must fail before they speak to anybody.
pub const ANY_PORTS: [&str; 8] = [
    "--listen-client",
    "127.0.0.1:0",
    "--listen-worker",
    "127.0.0.1:0",
    "--listen-peer",
    "127.0.0.1:0",
    "--listen-metrics",
    "127.0.0.1:0",
];

/// What a coordinator says once it listens.
pub const READY: &str = "\"event\":\"ready\"";

/// The configuration file of a coordinator of the cluster.
pub fn config(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.folder().join(format!("c{id}/flame-cluster.yaml"))
}

/// The data directory of a coordinator of the cluster.
pub fn data(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.folder().join(format!("c{id}/data"))
}

/// A copy of a configuration in which one text is replaced by another; it must be there.
pub fn changed(original: &Path, name: &str, from: &str, to: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(original).with_context(|| format!("read {}", original.display()))?;
    ensure!(text.contains(from), "{from:?} is not in {}:\n{text}", original.display());
    let copy = original.with_file_name(name);
    fs::write(&copy, text.replace(from, to)).with_context(|| format!("write {}", copy.display()))?;
    Ok(copy)
}

/// The line of a configuration that begins like this.
pub fn line_of(config: &Path, start: &str) -> Result<String> {
    let text = fs::read_to_string(config).with_context(|| format!("read {}", config.display()))?;
    let line = text.lines().find(|line| line.starts_with(start));
    Ok(line.with_context(|| format!("no line begins with {start:?}:\n{text}"))?.to_owned())
}

/// A coordinator of this configuration, on other data, with more flags.
pub fn coordinator(config: &Path, data: &Path, more: &[&str]) -> Result<Running> {
    let (config, data) = (config.display().to_string(), data.display().to_string());
    Running::start("flame-coordinator", &[&["--config", &config, "--data-dir", &data], more].concat())
}

/// One that must not start. Its refusal is a sentence on standard error, and it never says that it is ready.
pub async fn refused(config: &Path, data: &Path, more: &[&str], code: i32, says: &[&str]) -> Result<Ended> {
    let ended = coordinator(config, data, more)?.ended().await?.refused(code, says)?;
    let last = ended.stderr.lines().last().unwrap_or_default();
    ensure!(last.starts_with("flame-coordinator: "), "the last line says why: {}", ended.story());
    Ok(ended)
}

/// Ends every coordinator of the cluster, gently: its files and ports are free then.
pub async fn stop_all(cluster: &mut Cluster) -> Result<()> {
    for id in cluster.coordinator_ids() {
        cluster.stop_coordinator(id).await?;
    }
    Ok(())
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map(drop)?;
        }
    }
    Ok(())
}

/// Files below a folder whose names end like this and that are not empty.
pub fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), ending)?);
        } else if entry.file_name().to_str().is_some_and(|name| name.ends_with(ending)) && entry.metadata()?.len() > 0 {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Turns one bit over, in the middle of a file.
pub fn flip(path: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let at = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).with_context(|| format!("damage {}", path.display()))
}

/// A coordinator as the test kit counts them.
pub fn id(number: u64) -> CoordinatorId {
    CoordinatorId(number)
}
