//! Listening with a limit.
//!
//! * [`beside`]: a stream with something beside it.
//! * [`encrypted`]: those of them whose handshake is done.
//! * [`limited`]: connections as they come, as long as there are not too many. One beyond the limit waits in the backlog
//!   of the system until another one ends.
//! * [`plain`]: the server of what a daemon tells those who watch it over plain HTTP.
//!
//! **Invariant:** no listener of ours takes connections without a limit.

pub mod beside;
pub mod encrypted;
pub mod limited;
pub mod plain;

pub use limited::{Connection, limited};
