//! The one place for configuration: what a daemon may be told, where it may be told it, and which word wins.
//!
//! A value comes from the first of these that gives it: a **flag**, the **environment**, the **file**
//! (`flame-cluster.yaml`, the published format with sections of our own), the **default**. Every value remembers where
//! it came from, so that an error can point at it and `--print-config` can show it.
//!
//! **Invariant:** [`keys::KEYS`] is the whole of it. A key that is not in that table is an error that names the line;
//! a key in the table is used, or warned about when it has no effect; a value that is not served is refused: nothing is
//! accepted and silently ignored. `docs/reference/config.md` shows the same table, and a test says so.
//!
//! **Invariant:** the environment is read through [`Environment`] only.
//!
//! | module | holds |
//! |---|---|
//! | [`keys`] | the table of keys: name, default, meaning |
//! | `tree` | YAML text to `(path, value, line)` |
//! | [`layers`] | the four layers merged, every value with its [`Source`] |
//! | [`file`] | [`ClusterFile`]: load, warn, print |
//! | [`coordinator`], [`worker`], [`cache`], [`cluster`] | the typed sections and the checks across several values |
//! | [`packages`] | how packages of applications are fetched and installed |
//! | [`log`] | how long the log gets, and how fast snapshots are sent |
//! | [`objects`] | cached objects: copies and quotas |
//! | `retention` | how long ended things are kept |
//! | [`retry`] | how often something is tried again, and when a worker is avoided |
//! | [`tls`] | files of certificates and keys |
//! | [`address`], `duration` | values written as text |
//!
//! Start with [`ClusterFile::load`].

pub mod address;
pub mod cache;
pub mod cluster;
pub mod coordinator;
mod duration;
mod environment;
mod error;
pub mod file;
pub mod keys;
pub mod layers;
pub mod log;
pub mod objects;
pub mod packages;
mod retention;
pub mod retry;
pub mod tls;
mod tree;
pub mod worker;

pub use address::{Endpoint, HostPort};
pub use cache::{CacheEndpoint, CacheSection, Eviction};
pub use cluster::ClusterSection;
pub use coordinator::{CoordinatorSection, Listen, Member, Profile};
pub use environment::{Environment, ProcessEnvironment};
pub use error::ConfigError;
pub use file::ClusterFile;
pub use layers::{Flags, Source};
pub use log::LogSection;
pub use objects::ObjectsSection;
pub use packages::PackagesSection;
pub use retry::AvoidanceSection;
pub use tls::{NamedFile, TlsSection};
pub use worker::WorkerSection;
