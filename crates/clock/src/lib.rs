//! The one place that reads a clock.
//!
//! Everything that needs the time takes a [`Clock`], so a test can hold the time in its hand ([`ManualClock`]) and a
//! reader can see from a signature whether a component knows the time at all.
//!
//! **Invariant:** nobody else in the workspace calls `SystemTime::now` or `Instant::now`; `clippy.toml` and
//! `cargo xtask tidy` both check it. Timeouts of async code (`tokio::time::timeout`, `sleep`) are not clock reads:
//! no decision is taken from their value.
//!
//! **Invariant:** [`Mono`] never runs backwards and is comparable within one process only: it never goes to disk and
//! never goes over a wire. What crosses processes is [`flame_types::WallMs`] (display) or
//! [`flame_types::ClusterMs`] (expiry), and the latter comes from the log, not from here.

mod manual;
mod mono;
mod system;

use std::sync::Arc;

use flame_types::WallMs;

pub use manual::ManualClock;
pub use mono::Mono;
pub use system::SystemClock;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Time that never runs backwards, for measuring how long something took or may still take.
    fn mono(&self) -> Mono;

    /// Calendar time, for people: it may jump, so nothing expires or waits by it.
    fn wall(&self) -> WallMs;
}

/// A clock as components hold it.
pub type SharedClock = Arc<dyn Clock>;
