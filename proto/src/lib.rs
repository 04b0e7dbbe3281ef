//! What travels over gRPC: the published protocol (`flame.v1`, both of its generations) and ours beside it
//! (`flame.ha.v1`), generated from the `.proto` files of this folder, with conversions to the words of `flame-types`.
//!
//! **Invariant:** no decision is taken here. A conversion says what is wrong with a message; what to answer is the
//! business of whoever received it.
//!
//! **Invariant:** field numbers and enum values of `flame.v1` are those that published clients compiled in. They are
//! never changed or reused.
//!
//! | module | holds |
//! |---|---|
//! | [`v1`] | generated: `flame.v1`, services `Frontend`, `Instance` and `ObjectCacheService` |
//! | [`ha`] | generated: `flame.ha.v1`, services `CacheNodes`, `Cluster`, `Membership`, `ObjectDirectory`, `Objects`, `Operate`, `Sessions`, `WorkerHub`, `ServiceStream`, `Raft`, `Forward`, `Bootstrap` |
//! | [`instance`] | calling a service whose replies may be of either generation |
//! | [`convert`] | messages ⇄ `flame-types` |

pub mod convert;
mod descriptor;
pub mod generated;
pub mod instance;

pub use convert::Invalid;
pub use descriptor::FILE_DESCRIPTOR_SET;
pub use generated::{ha, v1};
