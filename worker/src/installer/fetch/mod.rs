//! How a package gets here.
//!
//! Each kind of place has its own way to be asked whether it still has what was fetched: a file by its metadata, a web
//! server by an entity tag, an object cache by the version of the object. One that cannot say so is fetched again.
//!
//! * [`file`]: files of this host, or of a file system that all hosts share.
//! * [`http`]: web servers.
//! * [`cache`]: object caches.
//! * [`known`]: which object caches there are.

mod cache;
mod file;
mod http;
mod known;

use std::path::Path;
use std::time::Duration;

use flame_tls::ClientFiles;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

pub(crate) use known::Coordinators;

use super::error::InstallError;
use super::url::{PackageUrl, Place, Server};

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest silence of somebody who is to send.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// What a place says about what it has. Two that are equal, and known, stand for the same content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fingerprint {
    /// It does not say anything one could rely on.
    Unknown,
    /// A file.
    File { bytes: u64, inode: u64, modified_ns: i64, changed_ns: i64 },
    /// A strong entity tag.
    Tag(String),
    /// An object: it is replaced under a higher version, and made anew at another time.
    Object { version: u64, bytes: u64, created_ms: i64 },
}

/// What became of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The place still has what it had.
    Same,
    /// It lies in the file now.
    New(Fingerprint),
}

/// Whom packages are fetched from, and by whose authority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Nodes of the object cache, for a URL whose own does not answer.
    pub(crate) caches: Vec<Server>,
    /// Who knows others.
    pub(crate) coordinators: Coordinators,
    /// How object caches are checked.
    pub(crate) cache_tls: ClientFiles,
    /// How web servers are checked.
    pub(crate) web_tls: ClientFiles,
    /// Largest package.
    pub(crate) bytes_max: u64,
}

impl Sources {
    /// Fetches a package into a file, unless its place says that it has what it `had`.
    pub(crate) async fn fetch(
        &self,
        url: &PackageUrl,
        had: Option<&Fingerprint>,
        path: &Path,
    ) -> Result<Fetched, InstallError> {
        let mut sink = Sink { path, file: None, bytes: 0, bytes_max: self.bytes_max };
        let fetched = match &url.place {
            Place::File(source) => file::fetch(source, had, &mut sink).await,
            Place::Http(server, path) => http::fetch(self, server, path, had, &mut sink).await,
            Place::Cache(server, key) => cache::fetch(self, server, key, had, &mut sink).await,
        };
        let fetched = match fetched {
            Ok(Fetched::New(fingerprint)) => sink.finish().await.map(|()| Fetched::New(fingerprint)),
            other => other,
        };
        fetched.map_err(|why| InstallError::Fetch { url: url.to_string(), why })
    }
}

/// The file that a package is written to.
struct Sink<'a> {
    path: &'a Path,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
}

impl Sink<'_> {
    /// Begins, or begins again: what came before is of no use.
    async fn begin(&mut self) -> Result<(), String> {
        self.bytes = 0;
        self.file = Some(File::create(self.path).await.map_err(|error| format!("{}: {error}", self.path.display()))?);
        Ok(())
    }

    /// Refuses a package before it comes.
    fn announce(&self, bytes: u64) -> Result<(), String> {
        match bytes > self.bytes_max {
            true => Err(format!("it has {bytes} bytes, more than worker.package_bytes_max ({})", self.bytes_max)),
            false => Ok(()),
        }
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(format!("it has more than {} bytes (worker.package_bytes_max)", self.bytes_max));
        }
        let file = self.file.as_mut().ok_or("it came before it was expected")?;
        file.write_all(chunk).await.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    async fn finish(&mut self) -> Result<(), String> {
        match &mut self.file {
            Some(file) => file.flush().await.map_err(|error| format!("{}: {error}", self.path.display())),
            None => Err("nothing came".to_owned()),
        }
    }
}

/// Waits for the other side, but not for ever.
async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(limit, work).await.map_err(|_| format!("{what} did not come within {limit:?}"))
}
