//! What was broken on purpose.
//!
//! **Invariant:** a fault that could not be installed is *skipped*, never *survived*.

use flame_types::CoordinatorId;
use serde::{Deserialize, Serialize};

use super::Text;

/// Something the nemesis did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultEvent {
    /// Which fault of the run: numbers are not used again.
    pub fault: u32,
    /// What became of it.
    pub step: FaultStep,
}

/// What became of a fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultStep {
    /// It is there.
    Installed {
        kind: FaultKind,
        /// Everybody it hits: of a partition, those on the smaller side. A worker that is not named must not be given up for
        /// it, nor a node end; so of trouble on a link both ends are named.
        targets: Vec<Target>,
    },
    /// It could not be installed.
    Skipped { kind: FaultKind, why: String },
    /// It is over. One that is over in the moment in which it comes, as a kill, is healed when its target is back.
    Healed,
}

/// Whom a fault hits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A coordinator.
    Node(CoordinatorId),
    /// A worker.
    Worker(Text),
    /// The clients, or what lies between them and the cluster.
    Clients,
}

/// Kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    // ── processes ───────────────────────────────────────────────────────────────────────────────────────────────
    /// Ended at once.
    Kill,
    /// Asked to end, and started again.
    Restart,
    /// Stands still, then goes on as if nothing had been.
    Pause,
    /// Has little of the processor.
    Slow,
    /// Replaced by another build.
    Upgrade,
    // ── network ─────────────────────────────────────────────────────────────────────────────────────────────────
    /// Cut off from the others, both ways.
    Partition,
    /// Cut off one way.
    PartitionOneWay,
    /// Cut off from some, not from others.
    PartitionPartial,
    /// Packets get lost.
    Loss,
    /// Packets come late, or out of order.
    Delay,
    /// Few bytes get through in a second.
    Bandwidth,
    /// Large packets do not get through.
    BlackHole,
    /// Answers get lost on their way to the client.
    AnswerLost,
    // ── clocks ──────────────────────────────────────────────────────────────────────────────────────────────────
    /// Wall time jumps.
    ClockJump,
    /// Time runs faster or slower.
    ClockDrift,
    // ── disks ───────────────────────────────────────────────────────────────────────────────────────────────────
    /// What was not synced is lost, and the process dies.
    PowerCut,
    /// A write or sync fails.
    DiskError,
    /// No room is left.
    DiskFull,
    /// Syncs take long, or hang.
    DiskSlow,
    /// The end of a file is missing or half written.
    DiskTorn,
    /// A bit has turned over.
    DiskFlip,
    /// Files are gone.
    DiskDeleted,
    /// Files are as they were some time ago.
    DiskOld,
    /// Syncs succeed and do nothing.
    DiskLies,
    // ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────
    /// Members come and go.
    Membership,
    /// Many times the usual load.
    Overload,
    /// A worker whose services do not start or do not live.
    BadWorker,
    /// Certificates change.
    Certificates,
}

impl FaultKind {
    /// Whether a worker that it hits may be given up for it: its lease cannot be renewed, or its executors die. Time that a
    /// coordinator loses is never a worker's fault, and wall time decides nothing.
    #[must_use]
    pub fn may_cost_a_worker_its_lease(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::Restart
                | Self::Pause
                | Self::Slow
                | Self::Upgrade
                | Self::Partition
                | Self::PartitionOneWay
                | Self::PartitionPartial
                | Self::Loss
                | Self::Delay
                | Self::Bandwidth
                | Self::BlackHole
                | Self::ClockDrift
                | Self::PowerCut
                | Self::BadWorker
        )
    }

    /// Whether a coordinator that it hits may end by itself for it, rather than go on with a disk it cannot trust.
    #[must_use]
    pub fn may_stop_a_node(self) -> bool {
        matches!(
            self,
            Self::DiskError
                | Self::DiskFull
                | Self::DiskTorn
                | Self::DiskFlip
                | Self::DiskDeleted
                | Self::DiskOld
                | Self::DiskLies
                | Self::Membership
        )
    }

    /// Whether it ends processes from outside.
    #[must_use]
    pub fn ends_processes(self) -> bool {
        matches!(self, Self::Kill | Self::Restart | Self::PowerCut | Self::Upgrade)
    }

    /// Whether it takes from a disk what was durable: such a node does not have to come back with it.
    #[must_use]
    pub fn takes_from_disk(self) -> bool {
        matches!(self, Self::DiskTorn | Self::DiskFlip | Self::DiskDeleted | Self::DiskOld | Self::DiskLies)
    }
}
