//! A cluster with an object cache, whose worker installs packages: what Runner needs.

use std::path::Path;

use anyhow::{Context, Result};
use flame_testkit::{Binaries, Cache, Cluster, ClusterOptions};
use tempfile::TempDir;
use tokio::process::Command;

use crate::scene::options;

/// The cluster, its cache, and the home of its worker.
pub struct WithCache {
    /// Three coordinators, one worker.
    pub cluster: Cluster,
    cache: Cache,
    // Dropped last: services look into it as long as they run.
    _home: TempDir,
}

impl WithCache {
    /// Starts all of it. Services in Python find their packages in this environment.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn start(python: &Path) -> Result<Self> {
        let cache = Cache::start(&[]).await?;
        let home = tempfile::tempdir().context("a folder for the home of the worker")?;
        let environment = vec![
            Binaries::find()?.furnish(home.path())?,
            ("VIRTUAL_ENV".to_owned(), python.display().to_string()),
            ("FLAME_CACHE_ENDPOINT".to_owned(), cache.endpoint().to_owned()),
        ];
        let cluster = Cluster::start(ClusterOptions { environment, ..options() }).await?;
        Ok(Self { cluster, cache, _home: home })
    }

    /// Where the cache is.
    #[must_use]
    pub fn cache(&self) -> &str {
        self.cache.endpoint()
    }

    /// Tells a client where cluster and cache are, and nothing that the user has configured.
    pub fn tell(&self, command: &mut Command, endpoint: &str) {
        command.env("HOME", self.cluster.folder());
        command.env("FLAME_ENDPOINT", endpoint).env("FLAME_CACHE_ENDPOINT", self.cache());
    }

    /// The last lines of every log.
    #[must_use]
    pub fn tails(&self) -> String {
        format!("{}\n{}", self.cluster.tails(), self.cache.tail())
    }

    /// Ends everything in good order.
    ///
    /// # Errors
    /// If something does not end well, or leaves processes.
    pub async fn shutdown(mut self) -> Result<()> {
        self.cluster.shutdown().await?;
        self.cache.stop().await
    }
}
