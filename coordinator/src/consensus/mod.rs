//! Consensus: the replicated log, what it is applied to, snapshots, and the other coordinators.
//!
//! ```text
//!  propose(term, entry) ──▶ Raft core ──▶ log (fdatasync, group commit)
//!                             │  ▲
//!            entries, votes   ▼  │ answers            committed
//!                          network ◀──▶ peers      ──────────────▶ applier ──▶ rows ──▶ ApplySink
//! ```
//!
//! * [`Consensus`] is the handle; it is started with [`Options`] and tells an [`ApplySink`] what was applied.
//! * [`replica`] is the replicated state; [`applier`] says who may touch it, [`brief`] what needs no thread of its own;
//!   [`state_machine`] is its face towards the Raft library.
//! * [`level`] is the gate in front of what only a later feature level knows; [`raising`] tells when all members are ready
//!   for it.
//! * [`audience`] says which peers need to hear of commits at once.
//! * [`network`] speaks to peers, [`server`] answers them, [`gate`] decides who is one: by the [`directory`] of members, and
//!   by what is remembered of their disks ([`lives`]).
//! * [`bootstrap`] begins a cluster, once; [`joining`] brings a node into one that exists; [`meeting`] makes its nodes know
//!   each other's disks; [`membership`] changes who they are.
//! * [`snapshots`] cuts the log; [`shipments`] keeps it from being cut under a snapshot on its way, which leaves at the pace
//!   of a [`token_bucket`]; [`receive`] takes one in, [`arrivals`] keeps what has come of it when its sender goes away.
//! * [`backup`] gives a snapshot away as one file; [`offline`] begins anew from one, or from what one node has left.
//!
//! **Invariant:** this module and the storage crate are the only ones that know the Raft library.
//! **Invariant:** every entry is written on condition that this node leads in the term in which it was admitted.
//! **Invariant:** reads are confirmed by the majority, never by a lease: no clock is trusted.
//! **Invariant:** Raft, the peer network and apply have threads of their own: load elsewhere cannot starve heartbeats.

mod applier;
mod arrivals;
mod audience;
mod backup;
mod bootstrap;
mod brief;
mod complaints;
mod directory;
mod entry;
mod error;
mod gate;
mod handle;
mod joining;
mod leadership;
mod level;
mod lives;
mod meeting;
mod membership;
mod network;
pub mod offline;
mod options;
mod own_runtime;
mod propose;
mod raising;
mod receive;
mod replica;
mod rows;
mod server;
mod shipments;
mod sink;
mod snapshot_body;
mod snapshots;
mod start;
mod state_machine;
mod status;
mod token_bucket;

pub use arrivals::Receiving;
pub use audience::{Audience, Seat};
pub use backup::BackupError;
pub use bootstrap::{BootstrapService, members_token};
pub use entry::{BatchHeader, decode_entry, encode_entry};
pub use error::{BootstrapError, ProposeError, ReadError, StartError, Stopped, TransferError};
pub use gate::Refused;
pub use handle::Consensus;
pub use leadership::Leadership;
pub use level::RunningLevel;
pub use membership::{BEHIND_MAX, Change, ChangeError, Changed, Plan, Refusal, Wish};
pub use options::{Options, Profile, SnapshotLimits, Timers};
pub use propose::{ENTRY_BYTES_MAX, Proposal};
pub use raising::MemberLevels;
pub use server::RaftService;
pub use sink::{AppliedEntry, ApplySink};
pub use status::{PeerStatus, RaftStatus, Role, StorageStatus};

/// The Raft library with our state machine.
type RaftHandle = openraft::Raft<flame_storage::TypeConfig, state_machine::StateMachine>;
