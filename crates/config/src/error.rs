//! Why a configuration was refused. Every message names the place and says what to change.

use std::path::PathBuf;

use crate::layers::Source;

/// Why a configuration was refused. All of them are mended by whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; check the path given with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any sensible configuration.
    #[error("the configuration {} has {bytes} bytes, at most {limit} are read; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is not YAML, or not a map of keys.
    #[error("{} is not a valid configuration: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        why: String,
    },
    /// A key nobody knows: most likely a typing error, so it is not ignored.
    #[error("{}, line {line}: unknown key {key}{hint}; docs/reference/config.md lists all keys", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: u64,
        /// The key with its sections.
        key: String,
        /// The nearest known key, as a half sentence; empty when nothing is near.
        hint: String,
    },
    /// A value that cannot be read.
    #[error("{key} ({source_of_value}): {text:?} {why}")]
    Value {
        /// The key with its sections.
        key: &'static str,
        /// Who gave the value.
        source_of_value: Source,
        /// The value as given, cut to a showable length.
        text: String,
        /// What is wrong with it and how it is written.
        why: String,
    },
    /// A value that is readable but cannot be served.
    #[error("{key} ({source_of_value}) cannot be served: {why}")]
    Refused {
        /// The key with its sections.
        key: &'static str,
        /// Who gave the value.
        source_of_value: Source,
        /// Why, and what to do instead.
        why: String,
    },
    /// Values that are fine alone but not together.
    #[error("{0}")]
    Conflict(String),
}
