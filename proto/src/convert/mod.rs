//! Between messages and the words of `flame-types`.
//!
//! From the wire: `TryFrom`, with [`Invalid`] saying what is wrong and published defaults filled in. To the wire: `From`.
//! What a published message has a field for survives the round trip; labels of a session have none.

mod application;
mod ha;
mod invalid;
mod resources;
mod retention;
mod retry;
mod session;
mod states;
mod task_id;
mod timeout;

pub use invalid::Invalid;
pub use task_id::parse_task_id;
pub use timeout::parse_grpc_timeout;
