//! The Rust client of Flame: sessions, tasks, applications, the cluster itself, and the host side of a service.
//!
//! A [`Connection`] knows every coordinator of the cluster. Any of them serves any call, so it talks to one and goes to
//! the next when that one is gone. What it may repeat it repeats; what it must not repeat, it reports.
//!
//! **Invariant:** a change that may have been done is sent again only where it is done once all the same: every change
//! carries a request id. Otherwise the caller gets [`FlameError::UnknownOutcome`] ([`repeats`] says why for each call).
//! **Invariant:** an error that says "nothing was done" speaks of all attempts, not of the last one.
//! **Invariant:** every call ends within the deadline of its [`Options`], every watch and stream that nobody serves any
//! more within their patience; nothing waits for ever.
//! **Invariant:** no server code and no private calls: what `flmctl` can do, any program can do with this crate.
//!
//! | module | holds |
//! |---|---|
//! | [`endpoints`] | where the coordinators are: flags, `FLAME_ENDPOINT`, `~/.flame/flame.yaml`, the default |
//! | [`connection`] | channels, deadlines, which call may be repeated, and where it goes next |
//! | [`applications`], [`sessions`], [`tasks`], [`nodes`], [`cluster`], [`membership`], [`upgrade`], [`operate`], [`backup`] | the calls, by what they are about |
//! | [`repeats`] | which call is sent again after a lost answer, and why that is safe |
//! | [`tls`] | certificates: their files, and what becomes of a call when they do not fit |
//! | [`forward`] | calls of somebody else, passed on as bytes: what a proxy is made of |
//! | [`reopen`] | when a stream that broke is opened at another node, and when it is given up |
//! | [`watch`] | states of many tasks over one stream that outlives the node it began on |
//! | [`stream`] | many tasks of one session over one stream: the fastest way to submit |
//! | [`model`] | what the calls answer, as plain values; their JSON is that of `flmctl -o json` |
//! | [`service`] | the other side: a process that runs tasks |
//! | [`error`] | errors by what their receiver can do |
//!
//! Start with [`Connection::open`].

pub mod applications;
mod at_leader;
pub mod backup;
pub mod cluster;
pub mod connection;
pub mod endpoints;
pub mod error;
mod fate;
pub mod forward;
mod leader;
pub mod membership;
pub mod model;
pub mod nodes;
pub mod operate;
mod places;
pub mod reopen;
pub mod repeats;
mod request;
mod retry;
pub mod service;
pub mod sessions;
pub mod stream;
pub mod tasks;
pub mod tls;
pub mod upgrade;
pub mod watch;

pub use backup::BackupDownload;
pub use cluster::MemberReport;
pub use connection::{Connection, Options};
pub use endpoints::Endpoints;
pub use error::FlameError;
pub use flame_types as types;
pub use membership::{MemberChange, NewMember};
pub use service::FlameService;
pub use sessions::SessionOptions;
pub use stream::{SessionStream, SubmittedTask, SubmittedTasks, TaskEnd};
pub use tls::TlsFiles;
/// For implementations of [`FlameService`].
pub use tonic::async_trait;
pub use watch::{TaskUpdates, TaskWatcher};
