//! Tests of the machine as its users see it: batches in, replies, events, effects and rows out.
//!
//! * `scenarios.rs` runs the files of `testdata/`: a command line and its printed outcome; `BLESS=1` rewrites them.
//! * `invariants/` has one property test per invariant, over random batches.
//! * `replicas.rs`: copies that restart at different points agree.
//! * `loading.rs`: rows that do not belong together are refused.
//! * `scheduling.rs`: what the planner promises.
//! * `explaining.rs`: that what is said of a task that does not run is true.
//! * `cluster_events.rs`: what is kept of what happened in the cluster.
//! * `caching.rs`: cache nodes that come and go and do what they are told, and what the directory knows of them.
//! * `deleting.rs`: many objects at once.
//! * `changing.rs`: executors that change their sessions, with a worker that does what it is told.
//! * `digest.rs`, `views.rs`: digests, fingerprints, ids that are shown.
//! * `levels.rs`: what builds understand, and what a cluster runs at.
//! * `limits.rs`: what is too large is cut or refused.

mod caching;
mod changing;
mod cluster_events;
mod deleting;
mod digest;
mod explaining;
mod generate;
mod invariants;
mod language;
mod levels;
mod limits;
mod loading;
mod print;
mod replicas;
mod scenarios;
mod scheduling;
mod views;
mod world;
