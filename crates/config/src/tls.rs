//! Files of certificates and keys, by the settings that name them. Whether they are any good is not looked at here.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::layers::{Layers, Setting};

/// A file and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The key and who gave its value, for messages about the file.
    pub named: String,
    /// The file.
    pub path: PathBuf,
}

/// The files that are set; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSection {
    /// A certificate.
    pub cert_file: Option<NamedFile>,
    /// Its key.
    pub key_file: Option<NamedFile>,
    /// Authorities that are trusted.
    pub ca_file: Option<NamedFile>,
    /// Authorities that clients and workers must have their certificates from. Only of coordinators.
    pub client_ca_file: Option<NamedFile>,
}

impl TlsSection {
    /// The files of a coordinator, `cluster.tls`.
    pub(crate) fn of_cluster(layers: &Layers) -> Result<Self, ConfigError> {
        Ok(Self {
            cert_file: file(layers.get("cluster.tls.cert_file"))?,
            key_file: file(layers.get("cluster.tls.key_file"))?,
            ca_file: file(layers.get("cluster.tls.ca_file"))?,
            client_ca_file: file(layers.get("cluster.tls.client_ca_file"))?,
        })
    }

    /// The files of a worker: `worker.tls`, and as published the authorities of `cluster.tls`.
    pub(crate) fn of_worker(layers: &Layers, cluster: &Self) -> Result<Self, ConfigError> {
        Ok(Self {
            cert_file: file(layers.get("worker.tls.cert_file"))?,
            key_file: file(layers.get("worker.tls.key_file"))?,
            ca_file: file(layers.get("worker.tls.ca_file"))?.or_else(|| cluster.ca_file.clone()),
            client_ca_file: None,
        })
    }

    /// The files of an object cache: `cache.tls`, and the authorities of `cluster.tls`.
    pub(crate) fn of_cache(layers: &Layers, cluster: &Self) -> Result<Self, ConfigError> {
        Ok(Self {
            cert_file: file(layers.get("cache.tls.cert_file"))?,
            key_file: file(layers.get("cache.tls.key_file"))?,
            ca_file: file(layers.get("cache.tls.ca_file"))?.or_else(|| cluster.ca_file.clone()),
            client_ca_file: None,
        })
    }

    /// Whether a daemon with these files encrypts.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.cert_file.is_some() || self.key_file.is_some()
    }
}

pub(crate) fn file(setting: &Setting) -> Result<Option<NamedFile>, ConfigError> {
    let path = setting.parse(|text| if text.is_empty() { Err("names no file".to_owned()) } else { Ok(text.into()) })?;
    Ok(path.map(|path| NamedFile { named: format!("{} ({})", setting.key.path, setting.source), path }))
}
