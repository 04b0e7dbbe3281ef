//! `flame-cluster.yaml`: found, read, laid under the environment and the flags.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::keys::Use;
use crate::layers::{Flags, Layers, Source};
use crate::{CacheSection, ClusterSection, CoordinatorSection, Environment, WorkerSection, tree};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The configuration of a daemon: every key with its value and its source.
///
/// Loading checks the keys. The sections are checked when they are asked for, so that a worker does not trip over a
/// coordinator's value in a file that both share.
#[derive(Clone, Debug)]
pub struct ClusterFile {
    layers: Layers,
}

impl ClusterFile {
    /// Reads the file, then the environment. Without a path, `~/.flame/flame-cluster.yaml` is read if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or has a key that does not exist.
    pub fn load(path: Option<&Path>, environment: &dyn Environment) -> Result<Self, ConfigError> {
        Self::load_with(path, environment, &Flags::default())
    }

    /// The same, with flags over both.
    ///
    /// # Errors
    /// As [`ClusterFile::load`].
    pub fn load_with(path: Option<&Path>, environment: &dyn Environment, flags: &Flags) -> Result<Self, ConfigError> {
        let path = path.map(Path::to_owned).or_else(|| usual_path(environment));
        let Some(path) = path else {
            return Ok(Self { layers: Layers::merge(None, environment, flags)? });
        };
        Self::parse(&path, &read(&path)?, environment, flags)
    }

    /// The same, with the text of the file given. `path` is only shown.
    ///
    /// # Errors
    /// As [`ClusterFile::load`].
    pub fn parse(path: &Path, text: &str, environment: &dyn Environment, flags: &Flags) -> Result<Self, ConfigError> {
        let leaves = tree::leaves(text).map_err(|why| ConfigError::Syntax { path: path.to_owned(), why })?;
        Ok(Self { layers: Layers::merge(Some((path, leaves)), environment, flags)? })
    }

    /// What is true for the whole cluster.
    ///
    /// # Errors
    /// A value of the section cannot be read or cannot be served.
    pub fn cluster(&self) -> Result<ClusterSection, ConfigError> {
        ClusterSection::build(&self.layers)
    }

    /// What a coordinator must know.
    ///
    /// # Errors
    /// A value of the section, or of the cluster's, cannot be read or served, or they contradict each other.
    pub fn coordinator(&self) -> Result<CoordinatorSection, ConfigError> {
        CoordinatorSection::build(&self.layers, &self.cluster()?)
    }

    /// What a worker must know.
    ///
    /// # Errors
    /// As [`ClusterFile::coordinator`].
    pub fn worker(&self) -> Result<WorkerSection, ConfigError> {
        WorkerSection::build(&self.layers, &self.cluster()?)
    }

    /// What an object cache must know.
    ///
    /// # Errors
    /// As [`ClusterFile::coordinator`].
    pub fn cache(&self) -> Result<CacheSection, ConfigError> {
        CacheSection::build(&self.layers, &self.cluster()?)
    }

    /// A sentence for each value that was set and changes nothing: daemons log them at their start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let set = self.layers.iter().filter(|setting| setting.source != Source::Default);
        set.filter(|setting| setting.key.usage == Use::NoEffect)
            .map(|setting| format!("{} ({}) has no effect: {}", setting.key.path, setting.source, setting.key.doc))
            .collect()
    }

    /// Every key with its value and where it came from: what `--print-config` prints.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        for setting in self.layers.iter() {
            let value = setting.items.join("; ");
            writeln!(text, "{}: {value}  # {}", setting.key.path, setting.source).expect("a String takes any text");
        }
        text
    }
}

fn usual_path(environment: &dyn Environment) -> Option<PathBuf> {
    let path = Path::new(&environment.get("HOME")?).join(".flame").join("flame-cluster.yaml");
    path.exists().then_some(path)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes, limit: FILE_BYTES_MAX });
    }
    std::fs::read_to_string(path).map_err(failed)
}
