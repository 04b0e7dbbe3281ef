//! One way to load a configuration in a test.

use std::collections::BTreeMap;
use std::path::Path;

use flame_config::{ClusterFile, ConfigError, Flags};

/// Loads a text without environment and flags.
pub fn load(text: &str) -> Result<ClusterFile, ConfigError> {
    load_all(text, &[], &Flags::default())
}

/// Loads all layers.
pub fn load_all(text: &str, environment: &[(&str, &str)], flags: &Flags) -> Result<ClusterFile, ConfigError> {
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    ClusterFile::parse(Path::new("c.yaml"), text, &environment, flags)
}

/// A list of three members on loopback.
pub const THREE_MEMBERS: &str = "
  members:
    - { id: 3, client: 127.0.0.1:30, worker: 127.0.0.1:31, peer: 127.0.0.1:32 }
    - { id: 1, client: 127.0.0.1:10, worker: 127.0.0.1:11, peer: 127.0.0.1:12 }
    - { id: 2, client: 127.0.0.1:20, worker: 127.0.0.1:21, peer: 127.0.0.1:22 }
";
