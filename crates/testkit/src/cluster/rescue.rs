//! Clusters that are made from a backup, and coordinators that go on alone.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, ensure};
use flame_types::CoordinatorId;
use serde_json::Value;
use tokio::process::Command;

use super::{Cluster, START_TRIES_MAX};
use crate::binaries::Binaries;
use crate::options::ClusterOptions;

impl Cluster {
    /// Makes a new cluster of one coordinator from a backup, and starts it with its workers. Gives also what the restore
    /// said. Others are added as to any cluster.
    ///
    /// # Errors
    /// If the backup is refused, or a daemon does not start.
    pub async fn restored(options: ClusterOptions, backup: &Path) -> Result<(Self, Value)> {
        ensure!(options.coordinators == 1, "a backup is restored into one coordinator");
        let binaries = Binaries::find()?;
        let mut last_error = anyhow!("no try was made");
        for _ in 0..START_TRIES_MAX {
            let mut cluster = Self::prepare(&options, &binaries)?;
            let config = cluster.coordinators[0].daemon.folder().join("flame-cluster.yaml").display().to_string();
            let backup = backup.display().to_string();
            let said = rescue(&["--config", &config, "restore", &backup, "--output", "json"]).await?;
            match cluster.launch().await {
                Ok(()) => return Ok((cluster, said)),
                Err(error) if cluster.lost_a_port() => last_error = error,
                Err(error) => return Err(error),
            }
        }
        Err(last_error.context(format!("{START_TRIES_MAX} starts in a row met a port in use")))
    }

    /// Makes a coordinator that does not run the only member of its cluster, for ever. Gives what was said.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn recover_coordinator(&self, id: CoordinatorId) -> Result<Value> {
        let data = self.data_dir(id).display().to_string();
        rescue(&["--data-dir", &data, "recover", "--force-new", "--yes", "--output", "json"]).await
    }

    /// Where a coordinator keeps its data.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    #[must_use]
    pub fn data_dir(&self, id: CoordinatorId) -> &Path {
        &self.coordinator(id).data
    }
}

/// Runs `flame-coordinator` for something else than serving.
async fn rescue(words: &[&str]) -> Result<Value> {
    let mut command = Command::new(Binaries::find()?.path("flame-coordinator")?);
    let ended = command.args(words).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let errors = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "flame-coordinator {} ended with {}:\n{errors}", words.join(" "), ended.status);
    serde_json::from_slice(&ended.stdout).with_context(|| format!("what it said is no JSON:\n{errors}"))
}
