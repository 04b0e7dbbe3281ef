//! What can go wrong with a disk, by what the operator can do about it.

use std::io;
use std::path::PathBuf;

use flame_types::CoordinatorId;

/// Why storage refused or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the data directory. Stop it, or use another directory.
    #[error("data directory {} is in use by another process", .0.display())]
    AlreadyOpen(PathBuf),

    /// The directory belongs to another cluster. Use the right directory.
    #[error("data directory {} belongs to cluster {found:?}, this node is of cluster {expected:?}", .dir.display())]
    WrongCluster {
        /// The data directory.
        dir: PathBuf,
        /// The cluster this node was started for.
        expected: String,
        /// The cluster the directory was made for.
        found: String,
    },

    /// The directory belongs to another node of the cluster. Use the right directory.
    #[error("data directory {} belongs to coordinator {found}, this is coordinator {expected}", .dir.display())]
    WrongNode {
        /// The data directory.
        dir: PathBuf,
        /// The node that was started.
        expected: CoordinatorId,
        /// The node the directory was made for.
        found: CoordinatorId,
    },

    /// The disk holds less than this node promised. It must not vote. Wipe it and join under a new id.
    #[error("this disk has forgotten something it promised: {0}; wipe it and let the node join under a new id")]
    Quarantine(String),

    /// The log is damaged. Wipe it and join under a new id, or restore the directory.
    #[error("the Raft log in {} is damaged: {why}", .dir.display())]
    DamagedLog {
        /// Where the log lies.
        dir: PathBuf,
        /// What was found.
        why: String,
    },

    /// The rows are damaged. Remove them and start again: they are made again from the log, if it was never cut.
    #[error("the state rows in {} are damaged: {why}", .dir.display())]
    DamagedState {
        /// Where the rows lie.
        dir: PathBuf,
        /// What was found.
        why: String,
    },

    /// The rows are older than the log's first entry, or gone: they cannot be made again from it. Wipe the directory and
    /// join under a new id.
    #[error("the state rows in {} are gone and the log does not reach back far enough to make them again: {why}", .dir.display())]
    LostState {
        /// Where the rows lie.
        dir: PathBuf,
        /// What was found.
        why: String,
    },

    /// The identity file is damaged or missing beside data: nobody knows what this disk promised.
    #[error("the identity of {} is damaged: {why}", .dir.display())]
    DamagedIdentity {
        /// The data directory.
        dir: PathBuf,
        /// What was found.
        why: String,
    },

    /// A newer program wrote this directory. Start that one.
    #[error("{what} has on-disk format {found}, this program knows up to {known}")]
    NewerFormat {
        /// What carries the version.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },

    /// The directory holds what only other builds understand. Start one of those.
    #[error(
        "data directory {} is of feature level {found}, and this program understands levels {lowest} to {highest}",
        .dir.display()
    )]
    OtherLevel {
        /// The data directory.
        dir: PathBuf,
        /// Its level.
        found: u32,
        /// The lowest level that is understood.
        lowest: u32,
        /// The highest.
        highest: u32,
    },

    /// A snapshot is incomplete, damaged, or older than what is here. Fetch another.
    #[error("unusable snapshot: {0}")]
    BadSnapshot(String),

    /// A backup is incomplete, damaged, or none at all. Use another.
    #[error("the backup cannot be used: {0}")]
    BadBackup(String),

    /// Somebody began to make this directory from a backup, or to recover it, and did not finish. Give the same command
    /// again.
    #[error("the {what} of data directory {} was begun and is not finished: give the same command again", .dir.display())]
    Unfinished {
        /// The data directory.
        dir: PathBuf,
        /// `restore` or `recovery`.
        what: String,
    },

    /// Something lies where a new data directory is to be made. Use an empty one.
    #[error("{} is not empty: a backup is restored into a directory that holds nothing", .0.display())]
    HoldsData(PathBuf),

    /// There is no data directory. Name the right one.
    #[error("{} is not the data directory of a coordinator", .0.display())]
    NoData(PathBuf),

    /// A caller broke a rule of this crate (a hole in the log, rows going back). Nothing was written.
    #[error("refused: {0}")]
    Refused(String),

    /// The disk does not let the rows be read, or an earlier write failed and its outcome is unknown: nothing is read
    /// or written any more. Look at the disk and restart the process.
    #[error("storage has stopped: {0}")]
    Stopped(String),

    /// The file system refused something before any promise was made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}
