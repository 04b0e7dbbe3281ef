//! What daemons refuse, with which exit code, and in which words.
//!
//! The files, ports and addresses are those of a cluster that was started and stopped: the members are the ones users
//! would have. **Invariant:** a refusal changes nothing; each test ends with the original cluster running again, or with
//! the mistake mended and the cluster formed.

mod backups;
mod bootstrap;
mod damaged_rows;
mod data_dirs;
pub(crate) mod files;
mod settings;
mod strangers;
mod workers;
