//! How the process ends: each reason has a code of its own, so that a supervisor can tell "try again" from "somebody
//! must look at this".

use std::process::ExitCode;

use flame_storage::Cause;

use crate::consensus::StartError;

/// Why a coordinator ends. The text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// The data directory belongs to another node or cluster, or is in use.
    #[error("{0}")]
    OtherNode(String),
    /// The log or the state is damaged.
    #[error("{0}")]
    Damaged(String),
    /// A port is in use.
    #[error("cannot listen on {address} for {what}: {source}; stop the other process or choose another port")]
    Port {
        /// What the port is for.
        what: &'static str,
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The disk holds less than this node has promised, or is not the one that the cluster knows.
    #[error("{0}")]
    Quarantine(String),
    /// The cluster has removed this node.
    #[error("{0}")]
    Removed(String),
    /// The cluster, or the data directory, is of a feature level that this build does not understand.
    #[error("{0}; start the release that the other coordinators run")]
    Outdated(String),
    /// Storage failed while running: the outcome of the last write is unknown, or rows cannot be read.
    #[error("storage failed and this node has stopped: {0}; check the disk, then start it again")]
    StorageFailed(String),
    /// Next to nothing is left of the disk.
    #[error(
        "the disk is full and this node has stopped before a write could fail: {0}; free some, then start it again"
    )]
    DiskFull(String),
    /// A backup is damaged, incomplete, or none.
    #[error("{0}")]
    BadBackup(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Exit {
    /// The documented exit code (docs/reference/exit-codes.md).
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::OtherNode(_) => 10,
            Self::Damaged(_) => 11,
            Self::Port { .. } => 12,
            Self::Quarantine(_) => 13,
            Self::StorageFailed(_) => 14,
            Self::DiskFull(_) => 15,
            Self::Removed(_) => 16,
            Self::Outdated(_) => 17,
            Self::BadBackup(_) => 18,
        })
    }

    /// The rows are a function of the log, and the log is in order.
    fn damaged_rows(why: &str) -> Self {
        let remedy = "remove that directory and start this node again: it makes the rows again from its log, or says \
                      that the log does not reach back far enough";
        Self::Damaged(format!("{why}; {remedy}"))
    }

    /// Nothing on this disk makes up for it.
    fn damaged_log(why: &str) -> Self {
        let remedy = "its peers hold what it held: wipe the directory and let the node join under a new id";
        Self::Damaged(format!("{why}; {remedy}"))
    }
}

/// Why a node that ran cannot go on.
impl From<Cause> for Exit {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Failed(why) => Self::StorageFailed(why),
            Cause::DamagedRows(why) => Self::damaged_rows(&why),
            Cause::DamagedLog(why) => Self::damaged_log(&why),
            Cause::Full(why) => Self::DiskFull(why),
            Cause::Replaced(why) | Cause::RolledBack(why) => Self::Quarantine(why),
            Cause::Removed(why) => Self::Removed(why),
            Cause::Outdated(why) => Self::Outdated(why),
        }
    }
}

impl From<StartError> for Exit {
    fn from(error: StartError) -> Self {
        use flame_storage::Error as Storage;
        let text = error.to_string();
        match error {
            StartError::Storage(storage) => match storage {
                Storage::AlreadyOpen(_) | Storage::WrongCluster { .. } | Storage::WrongNode { .. } => {
                    Self::OtherNode(format!("{text}; give this node a directory of its own (coordinator.data_dir)"))
                }
                Storage::OtherLevel { .. } | Storage::NewerFormat { .. } => Self::Outdated(text),
                Storage::HoldsData(_) | Storage::Unfinished { .. } => Self::OtherNode(text),
                Storage::NoData(_) => Self::Usage(text),
                Storage::BadBackup(_) => Self::BadBackup(text),
                Storage::Quarantine(_) => Self::Quarantine(text),
                Storage::DamagedState { .. } => Self::damaged_rows(&text),
                Storage::DamagedLog { .. } | Storage::LostState { .. } | Storage::DamagedIdentity { .. } => {
                    Self::damaged_log(&text)
                }
                other => Self::Other(other.into()),
            },
            StartError::Outdated(_) => Self::Outdated(text),
            StartError::State(_) | StartError::Recovery(_) => Self::Damaged(text),
            StartError::Options(_) => Self::Usage(text),
            StartError::Io { .. } | StartError::Defect(_) => Self::Other(error.into()),
        }
    }
}
