//! The Rust client of Flame: sessions, tasks, applications, the cluster itself, and the host side of a service.
//!
//! A service is a function, and a client calls it:
//!
//! ```no_run
//! #[flame_sdk::entrypoint]
//! async fn square(number: u64) -> Result<u64, flame_sdk::FlameError> {
//!     Ok(number * number)
//! }
//!
//! // In the service's `main`: flame_sdk::run(square).await
//!
//! # async fn client() -> Result<(), flame_sdk::FlameError> {
//! let session = flame_sdk::create_session("square").await?;
//! let nine: u64 = session.invoke(3_u64).await?.await?;
//! let squares: Vec<u64> = session.map(1..=1000_u64).collect().await?;
//! session.close().await?;
//! # Ok(()) }
//! ```
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
//! | [`start`] | [`connect`], [`create_session`], [`run`]: the shortest way in |
//! | [`session`] | the handle that programs hold: typed tasks, lists of them, results as they come |
//! | [`codec`] | typed payloads: [`FlameMessage`], JSON, MessagePack |
//! | [`endpoints`] | where the coordinators are: flags, `FLAME_ENDPOINT`, `~/.flame/flame.yaml`, the default |
//! | [`connection`] | channels, deadlines, which call may be repeated, and where it goes next |
//! | [`applications`], [`sessions`], [`tasks`], [`nodes`], [`cluster`], [`membership`], [`upgrade`], [`operate`], [`directory`], [`backup`] | the calls, by what they are about |
//! | [`objects`] | cached objects: what is too large for a task, or is used by many |
//! | [`packages`] | packages of applications, put where workers fetch them |
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
//! Start with [`connect`], or with [`Connection::open`] where the environment has no say.

#[doc(hidden)]
pub mod __private;
pub mod applications;
mod at_leader;
pub mod backup;
mod cache_nodes;
pub mod cluster;
pub mod codec;
pub mod connection;
pub mod directory;
pub mod endpoints;
pub mod error;
mod fate;
pub mod forward;
mod leader;
mod macros;
pub mod membership;
pub mod model;
pub mod nodes;
pub mod objects;
pub mod operate;
pub mod packages;
mod places;
pub mod reopen;
pub mod repeats;
mod request;
mod retry;
pub mod service;
pub mod session;
pub mod sessions;
pub mod start;
pub mod stream;
pub mod tasks;
pub mod tls;
pub mod upgrade;
pub mod watch;

pub use backup::BackupDownload;
pub use cluster::MemberReport;
pub use codec::{FlameMessage, FromTaskOutput, IntoCommonData, IntoTaskInput};
pub use connection::{Connection, Options};
pub use endpoints::Endpoints;
pub use error::FlameError;
/// Derives [`trait@FlameMessage`], whose documentation shows it.
pub use flame_sdk_macros::FlameMessage;
pub use flame_types as types;
/// Results are streams; these read them.
pub use futures::{Stream, StreamExt};
pub use macros::{entrypoint, instance};
pub use membership::{MemberChange, NewMember};
pub use service::{FlameInstance, FlameService, IntoFlameInstance};
pub use session::{Session, TaskFuture, TaskHandle, TaskOptions, TaskResult};
pub use sessions::SessionOptions;
pub use start::{connect, connect_with_config, create_session, open_or_create_session, open_session, run};
pub use stream::{SessionStream, SubmittedTask, SubmittedTasks, TaskEnd};
pub use tls::TlsFiles;
/// For implementations of [`FlameService`].
pub use tonic::async_trait;
pub use watch::{TaskUpdates, TaskWatcher};
