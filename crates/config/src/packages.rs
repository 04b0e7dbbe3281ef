//! What a worker is told about packages of applications: where they are installed, how large they may be, how many stay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::coordinator::{folder, memory};
use crate::error::ConfigError;
use crate::layers::Layers;
use crate::tls::{self, NamedFile};

/// How packages are fetched and installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagesSection {
    /// Where they are unpacked and installed.
    pub install_dir: PathBuf,
    /// Longest time to fetch and install one.
    pub timeout: Duration,
    /// Largest one.
    pub bytes_max: u64,
    /// Installed ones that nobody uses and that are kept.
    pub kept: usize,
    /// The preferred interpreter.
    pub python: Option<PathBuf>,
    /// Authorities that `https` servers are checked by; those of the system when unset.
    pub ca_file: Option<NamedFile>,
}

impl PackagesSection {
    pub(crate) fn build(layers: &Layers, work_dir: &Path) -> Result<Self, ConfigError> {
        let install_dir = layers.get("worker.install_dir").parse(folder)?;
        Ok(Self {
            install_dir: install_dir.unwrap_or_else(|| work_dir.join("data")),
            timeout: layers.get("worker.install_timeout").duration()?,
            bytes_max: layers.get("worker.package_bytes_max").parse_set(memory)?,
            kept: layers.get("worker.packages_kept").number(0)?,
            python: layers.get("worker.python").parse(absolute)?,
            ca_file: tls::file(layers.get("worker.package_ca_file"))?,
        })
    }
}

/// A path that means the same in every folder: services have working directories of their own.
fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("is not an absolute path; write one like /usr/bin/python3".to_owned())
    }
}
