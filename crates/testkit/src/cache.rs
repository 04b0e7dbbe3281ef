//! One object cache as a process, with or without a cluster beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::daemon::Daemon;
use crate::leftovers::{self, FOLDER_PREFIX};
use crate::ports::PortLease;
use crate::run::RunId;

/// For a cache to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A cache. Dropping it ends its process and removes its folder.
pub struct Cache {
    // Fields are dropped in this order: first the process, then the folder it writes to.
    daemon: Daemon,
    endpoint: String,
    ready: Value,
    _ports: PortLease,
    folder: TempDir,
}

impl Cache {
    /// Starts a cache with a folder of its own; these arguments come after those that say where it is.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        let run = RunId::new();
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().context("create the cache's folder")?;
        leftovers::mark(folder.path(), &run)?;
        let ports = PortLease::take()?;
        // One port for all its lives: references to its objects carry it.
        let address = format!("127.0.0.1:{}", ports.port(0));
        let storage = folder.path().join("objects").display().to_string();
        let fixed = ["--name", "cache", "--listen", &address, "--storage", &storage, "--metrics", "127.0.0.1:0"];
        let arguments = fixed.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        // Nothing that the user has configured is for it.
        let home = ("HOME".to_owned(), folder.path().display().to_string());
        let binary = Binaries::find()?.path("flame-cache")?;
        let daemon = Daemon::new("cache", binary, arguments, folder.path(), &run).with_environment(&[home]);
        let endpoint = format!("grpc://{address}");
        let mut cache = Self { daemon, endpoint, ready: Value::Null, _ports: ports, folder };
        cache.start_again().await?;
        Ok(cache)
    }

    /// Starts a cache that does not run, on its old port and folder.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn start_again(&mut self) -> Result<()> {
        self.daemon.spawn()?;
        self.ready = self.daemon.event("ready", START_LIMIT).await?;
        Ok(())
    }

    /// Where clients reach it, as they write it.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its own folder: objects and log. It goes when the cache is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its objects are.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        self.daemon.kill().await
    }

    /// SIGTERM; returns when it has ended with exit code 0.
    ///
    /// # Errors
    /// If it does not end, or ends with another code.
    pub async fn stop(&mut self) -> Result<()> {
        self.daemon.stop().await
    }

    /// The last lines of its log, with a headline.
    #[must_use]
    pub fn tail(&self) -> String {
        self.daemon.tail()
    }

    /// How often it has written this to its log, in all its lives.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn written(&self, text: &str) -> Result<usize> {
        self.daemon.written(text)
    }
}
