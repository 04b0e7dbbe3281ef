//! One object cache as a process, alone or one of several of a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_tls::Client;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::binaries::Binaries;
use crate::certificates::Certificates;
use crate::cluster::Cluster;
use crate::config_file;
use crate::daemon::{Daemon, write_file};
use crate::leftovers::{self, FOLDER_PREFIX};
use crate::ports::PortLease;
use crate::run::RunId;
use crate::wait::wait_until;

/// For a cache to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A cache. Dropping it ends its process and removes its folder.
pub struct Cache {
    name: String,
    // Fields are dropped in this order: first the process, then the folder it writes to.
    daemon: Daemon,
    endpoint: String,
    tls: Option<Client>,
    ready: Value,
    _ports: PortLease,
    folder: TempDir,
}

impl Cache {
    /// Starts a cache that is alone, with a folder of its own; these arguments come after those that say where it is.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_as("cache", PortLease::take()?, arguments, None).await
    }

    /// A connection of a client, which is made when it is first used, and again when it must.
    ///
    /// # Errors
    /// If its address is none.
    pub fn connect(&self) -> Result<Channel> {
        let address = self.endpoint.rsplit_once("://").map_or(self.endpoint.as_str(), |(_, address)| address);
        let target = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(flame_tls::client::channel(target, self.tls.as_ref()))
    }

    /// Starts one of the caches of a cluster, with its certificates if it has some, and waits until it is attached.
    ///
    /// # Errors
    /// If it does not become ready, or is not attached.
    pub async fn join(cluster: &Cluster, name: &str, arguments: &[&str]) -> Result<Self> {
        Self::join_on(cluster, name, PortLease::take()?, arguments).await
    }

    /// The same on the first of these ports, so that others may know where it will be.
    ///
    /// # Errors
    /// As [`Cache::join`].
    pub async fn join_on(cluster: &Cluster, name: &str, ports: PortLease, arguments: &[&str]) -> Result<Self> {
        let ids = cluster.coordinator_ids();
        let coordinators: Vec<String> = ids.into_iter().map(|id| cluster.worker_endpoint(id)).collect();
        let mut all: Vec<&str> =
            coordinators.iter().flat_map(|endpoint| ["--coordinator", endpoint.as_str()]).collect();
        all.extend_from_slice(arguments);
        let cache = Self::start_as(name, ports, &all, cluster.certificates()).await?;
        cache.attached(cluster, true).await?;
        Ok(cache)
    }

    async fn start_as(
        name: &str,
        ports: PortLease,
        arguments: &[&str],
        certificates: Option<&Certificates>,
    ) -> Result<Self> {
        let run = RunId::new();
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().context("create the cache's folder")?;
        leftovers::mark(folder.path(), &run)?;
        // One port for all its lives: references to its objects carry it.
        let address = format!("127.0.0.1:{}", ports.port(0));
        let storage = folder.path().join("objects").display().to_string();
        let fixed = ["--name", name, "--listen", &address, "--storage", &storage, "--metrics", "127.0.0.1:0"];
        let mut arguments: Vec<String> = fixed.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        if let Some(certificates) = certificates {
            let config = folder.path().join("flame-cluster.yaml");
            write_file(&config, &config_file::cache(certificates))?;
            arguments.extend(["--config".to_owned(), config.display().to_string()]);
        }
        // Nothing that the user has configured is for it.
        let home = ("HOME".to_owned(), folder.path().display().to_string());
        let binary = Binaries::find()?.path("flame-cache")?;
        let daemon = Daemon::new(name, binary, arguments, folder.path(), &run).with_environment(&[home]);
        let scheme = if certificates.is_some() { "grpc+tls" } else { "grpc" };
        let endpoint = format!("{scheme}://{address}");
        let tls = certificates.map(Certificates::of_clients).transpose()?;
        let name = name.to_owned();
        let mut cache = Self { name, daemon, endpoint, tls, ready: Value::Null, _ports: ports, folder };
        cache.start_again().await?;
        Ok(cache)
    }

    /// Waits until the cluster says that it is attached, or that its lease is over.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn attached(&self, cluster: &Cluster, wanted: bool) -> Result<()> {
        let what = format!("cache {} is {}", self.name, if wanted { "attached" } else { "away" });
        let outcome = wait_until(START_LIMIT, &what, || async {
            let nodes = cluster.cache_nodes().await?;
            let found = nodes.iter().find(|node| node.name == self.name);
            // One that had nothing is forgotten when it is gone.
            let is_so = found.map_or(!wanted, |node| if wanted { node.attached } else { node.away });
            ensure!(is_so, "{found:?}");
            Ok(())
        });
        outcome.await.with_context(|| self.tail())
    }

    /// Its name among the caches of its cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
