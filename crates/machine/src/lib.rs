//! The replicated state machine of Flame: every session, task, application, worker and executor, and the commands
//! that change them.
//!
//! One entry, [`State::apply`]: a batch of commands goes in; replies, events (facts for watchers), effects (requests to
//! workers, acted upon by the leader only) and row changes (what to write to disk) come out. Beside it stands
//! [`schedule::plan`], which says what the leader should propose about executors; apply checks that again.
//!
//! **Invariant:** apply is a function of the state and the batch. No I/O, no async, no clock, no randomness, no
//! dependence on map order, no floats in decisions, no configuration that is not in the state.
//!
//! **Invariant:** memory is a function of the live rows: `load(rows(state)) == state` after every batch.
//!
//! **Invariant:** this crate knows nothing of Raft, RocksDB, gRPC or tokio.
//!
//! | module | holds |
//! |---|---|
//! | [`command`] | what can be asked |
//! | [`state`] | what is held in memory |
//! | [`apply`] | what happens |
//! | [`retention`] | what is kept no longer |
//! | [`schedule`] | which executor should serve which session; why a session waits |
//! | [`copies`] | which objects of the cache should be copied where |
//! | [`reports`] | what a cache node has, and what the directory knows of it |
//! | [`view`] | what readers see |
//! | [`row`] | what lies on disk |
//! | [`cluster_event`] | what happened in the cluster, for operators |
//! | [`reply`], [`refusal`], [`event`], [`effect`] | what comes out |
//! | [`config`] | figures that apply decides by |
//! | [`level`] | what the builds of a cluster can do together |
//! | [`digest`] | 16 bytes that say whether two states are the same |
//! | [`invariants`] | what must always hold, for tests |
//!
//! Where to start: [`command`], then `apply/batch.rs`, then `apply/dispatch.rs`.

pub mod apply;
pub mod cluster_event;
pub mod command;
pub mod config;
pub mod copies;
pub mod digest;
pub mod effect;
pub mod event;
pub mod invariants;
pub mod level;
pub mod refusal;
pub mod reply;
pub mod reports;
pub mod retention;
pub mod row;
pub mod schedule;
pub mod state;
pub mod view;

pub use apply::{Applied, Ctx, Foreseen};
pub use cluster_event::{ClusterEvent, ClusterEventRow};
pub use command::{Batch, Command, Item};
pub use config::{ClusterConfig, ObjectsConfig};
pub use effect::{CacheEffect, CacheOrder, Effect, Order};
pub use event::Event;
pub use level::{FEATURE_LEVEL, FIRST_LEVEL, Levels};
pub use refusal::{ObjectRefusal, Refusal};
pub use reply::Reply;
pub use row::{Row, RowChange, RowKey, RowSink, Space, Table};
pub use state::State;
