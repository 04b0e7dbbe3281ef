//! The object cache: objects that are too large for tasks, by both published protocols and our own, over one object model.
//!
//! **Invariant:** an object is only ever seen whole: writing collects it, and shows it in one step.
//! **Invariant:** memory is bounded: by objects, by what is on its way, and by what is being sent.
//! **Invariant:** a durable object that was acknowledged is on disk, where there is one.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | what an object is, without disk, clock or network |
//! | [`store`] | memory over disk |
//! | [`objects`] | the rules: start there |
//! | [`arena`] | memory that is shared with clients of the same host |
//! | [`directory`] | what is known of objects beyond this cache |
//! | [`cluster`] | the directory of a cluster: being one of several |
//! | [`flight`] | Arrow Flight, for `flamepy` 0.6.0 |
//! | [`published`] | `flame.v1.ObjectCacheService`, for `flame-rs` 0.7.0 |
//! | [`own`] | `flame.ha.v1.Objects`, between caches and for our own clients |
//! | [`inflow`] | uploads on their way in, and the room for them |
//! | [`wire`] | what the three share |
//! | [`server`] | the parts put together |
//! | [`options`] | what a cache can be told |
//! | [`cli`] | the command line |
//! | [`announce`] | what it says on standard output |
//! | [`metrics`] | names and handles of what is measured |
//! | [`web`] | the page that shows them |
//! | [`limits`], [`error`] | how much of everything; why something is not done |

pub(crate) mod announce;
pub mod arena;
pub mod cli;
pub mod cluster;
pub mod directory;
pub mod error;
pub mod flight;
pub mod inflow;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod objects;
pub mod options;
pub mod own;
pub mod published;
pub mod server;
pub mod store;
pub(crate) mod web;
pub mod wire;

pub use error::Refusal;
pub use options::Options;
pub use server::{Running, StartError};
