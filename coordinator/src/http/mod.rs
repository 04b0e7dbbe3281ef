//! What a node tells over plain HTTP: its metrics, and whether it is well.
//!
//! | path | answers |
//! |---|---|
//! | `/metrics` | every metric, as Prometheus reads it |
//! | `/livez` | 200 while the state answers: the process need not be started again |
//! | `/readyz` | 200 while calls are served here; else 503 and why not |
//!
//! * [`scrape`] brings together what is recorded all the time and what is read when somebody looks.
//! * [`gauges`] holds the handles of the latter.
//! * [`routes`] are the answers, [`serve`] listens.
//!
//! **Invariant:** scrapes do not add up: one is made at a time, and it waits for nothing without a deadline.

pub mod gauges;
mod routes;
pub mod scrape;
mod serve;

pub use serve::serve;
