//! What a node's consensus is started with, and the configuration of the Raft library that follows from it.

use std::path::PathBuf;
use std::time::Duration;

use flame_storage::MemberNode;
use flame_tls::Client;
use flame_types::CoordinatorId;
use openraft::SnapshotPolicy;

use crate::memory::Memory;
use crate::metrics::handles::ConsensusMetrics;

/// Most entries in one frame of replication; the log reader also ends a frame at its byte limit.
const FRAME_ENTRIES_MAX: u64 = 256;

/// Most entries that are handed to the log in one call.
const APPEND_ENTRIES_MAX: u64 = 1024;

/// Commands that may wait for the state machine before the Raft core waits too.
const STATE_MACHINE_QUEUE_MAX: u64 = 256;

/// Messages that may wait for the Raft core.
const API_QUEUE_MAX: u64 = 4096;

/// How long a complete snapshot may take from its last byte to its installation.
pub(super) const SNAPSHOT_INSTALL_MAX: Duration = Duration::from_secs(120);

/// What the library must never do by itself, since it would count entries, and ours are batches of any size.
const NEVER: u64 = u64::MAX / 4;

/// Everything that consensus must know about this node.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node.
    pub id: CoordinatorId,
    /// Nodes of another cluster are refused.
    pub cluster_id: String,
    /// Where log, state, snapshots and identity are kept.
    pub data_dir: PathBuf,
    /// All members as they are listed in the configuration, this one included. Used once, to begin the cluster; from
    /// then on the log says who is a member.
    pub members: Vec<(CoordinatorId, MemberNode)>,
    /// Peer addresses of members that this node asks to be added, instead of a list of members.
    pub join: Vec<String>,
    /// Where this node listens itself: what it tells whoever adds it.
    pub own: MemberNode,
    /// How fast a lost leader is noticed.
    pub profile: Profile,
    /// Whether log writes are made durable before they count. Off only in tests that do not test durability.
    pub sync: bool,
    /// When the log is cut.
    pub snapshots: SnapshotLimits,
    /// How much memory log, rows and what is under way may take.
    pub memory: Memory,
    /// What is recorded.
    pub metrics: ConsensusMetrics,
    /// Encrypts what is said to other coordinators; `None` for plaintext.
    pub tls: Option<Client>,
}

impl Options {
    /// Options with the default limits.
    #[must_use]
    pub fn new(id: CoordinatorId, cluster_id: String, data_dir: PathBuf) -> Self {
        Self {
            id,
            cluster_id,
            data_dir,
            members: Vec::new(),
            join: Vec::new(),
            own: MemberNode::default(),
            profile: Profile::Default,
            sync: true,
            snapshots: SnapshotLimits::default(),
            memory: Memory::default(),
            metrics: ConsensusMetrics::default(),
            tls: None,
        }
    }
}

/// How fast a lost leader is noticed, and how much delay a healthy one may show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Writes resume about 1.1 s after a leader is lost. Safe on busy machines.
    #[default]
    Default,
    /// Writes resume after about 0.6 s. For quiet machines and for tests.
    Fast,
}

/// The timers of a profile, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between two heartbeats of a leader.
    pub heartbeat_ms: u64,
    /// No heartbeat is sent to a node that acknowledged something this recently.
    pub heartbeat_skip_ms: u64,
    /// The shortest wait, beyond the lease, before a node campaigns.
    pub election_ms_min: u64,
    /// The longest one; also the length of a leader's lease.
    pub election_ms_max: u64,
}

impl Profile {
    /// Its timers.
    #[must_use]
    pub fn timers(self) -> Timers {
        match self {
            Self::Default => {
                Timers { heartbeat_ms: 200, heartbeat_skip_ms: 50, election_ms_min: 400, election_ms_max: 600 }
            }
            Self::Fast => {
                Timers { heartbeat_ms: 50, heartbeat_skip_ms: 25, election_ms_min: 150, election_ms_max: 300 }
            }
        }
    }
}

/// When a snapshot is taken and how much of the log stays behind it. Bytes are those of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// A snapshot is taken when this much was applied since the last one.
    pub log_bytes_max: u64,
    /// Or when this many entries were.
    pub log_entries_max: u64,
    /// This much of the newest log stays when it is cut, so that a node that was away for a short time catches up
    /// without a snapshot.
    pub log_bytes_kept: u64,
    /// While a snapshot is on its way to a node, the log behind it stays, until it exceeds this.
    pub log_bytes_held_max: u64,
    /// How often this is looked at.
    pub check_every: Duration,
    /// Bytes of snapshots that this node sends in a second, to all others together; 0 for no limit.
    pub ship_bytes_per_second: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self {
            log_bytes_max: 1 << 30,
            log_entries_max: 2_000_000,
            log_bytes_kept: 256 << 20,
            log_bytes_held_max: 4 << 30,
            check_every: Duration::from_secs(1),
            ship_bytes_per_second: 64 << 20,
        }
    }
}

/// The configuration of the Raft library.
pub(super) fn raft_config(options: &Options) -> Result<openraft::Config, openraft::ConfigError> {
    let timers = options.profile.timers();
    let config = openraft::Config {
        cluster_name: options.cluster_id.clone(),
        heartbeat_interval: timers.heartbeat_ms,
        heartbeat_min_interval: Some(timers.heartbeat_skip_ms),
        election_timeout_min: timers.election_ms_min,
        election_timeout_max: timers.election_ms_max,
        // A node that cannot win does not disturb a leader that is well.
        enable_pre_vote: Some(true),
        // A leader that restarts must win an election first: otherwise what was admitted before its restart and what
        // is admitted after it would carry the same term.
        enable_leader_restore: Some(false),
        max_payload_entries: FRAME_ENTRIES_MAX,
        max_append_entries: Some(APPEND_ENTRIES_MAX),
        api_channel_size: Some(API_QUEUE_MAX),
        api_batch_linger_ms: 0,
        state_machine_channel_size: Some(STATE_MACHINE_QUEUE_MAX),
        backoff: "50ms 100ms ...1s".to_owned(),
        // Snapshots and purges have triggers of their own, by bytes: see `snapshots`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: NEVER,
        purge_batch_size: 1,
        replication_lag_threshold: NEVER,
        install_snapshot_timeout: u64::try_from(SNAPSHOT_INSTALL_MAX.as_millis()).unwrap_or(NEVER),
        ..openraft::Config::default()
    };
    config.validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_accepted_by_the_library() {
        for profile in [Profile::Default, Profile::Fast] {
            let mut options = Options::new(CoordinatorId(1), "c".to_owned(), PathBuf::new());
            options.profile = profile;
            let config = raft_config(&options).expect("valid");
            assert_eq!(config.enable_pre_vote, Some(true));
            assert_eq!(config.enable_leader_restore, Some(false));
            assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
        }
    }
}
