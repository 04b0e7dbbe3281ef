//! The outside checker. It knows what must be true of a run of the cluster, and nothing about how a cluster is run.
//!
//! The promise under test: *execution is at least once, recording is exactly once, and nothing acknowledged is ever
//! lost*; and of a leader change alone: *nothing runs twice*.
//!
//! A run is a [`record::Recording`]: what clients asked for and were told, what workers were given and did, what nodes tell of
//! their logs and states, what was broken on purpose. The simulation and real processes write the same format, and [`judge`]
//! holds it against every promise. Where a run is asked only once, at its end, [`check()`] judges by three witnesses.
//!
//! **Invariant:** the checker is pure: the same recording gives the same report. Who made it, and how, is not its business.
//! **Invariant:** nothing passes by default. What could not be found out is *unknown*, a run in which nothing happened is
//! *inconclusive*, and neither is a pass.
//! **Invariant:** this crate shares no code with what it judges; it says again, in its own words, what that promises.
//!
//! | module | holds |
//! |---|---|
//! | [`record`] | what a recording is; as a file, as EDN |
//! | [`generate`] | workloads W1 to W9, drawn from a seed |
//! | [`facts`] | a recording, looked through once |
//! | [`search`] | is a history linearizable? |
//! | [`task_model`] | one task, one operation after the other |
//! | [`checkers`] | promises C1 to C15, one file each |
//! | [`report`] | what they come to |
//! | [`at_rest`] | the short check by three witnesses |
//! | [`execution_log`] | reading the service's own log |
//!
//! `tests/it` has a corpus of bad recordings that must be rejected, one for each kind of wrong, each by the checker whose
//! business it is, and good ones that must pass. Start with [`record`], then [`checkers`].

pub mod at_rest;
pub mod checkers;
pub mod execution_log;
pub mod facts;
pub mod generate;
pub mod record;
pub mod report;
pub mod search;
pub mod task_model;

pub use at_rest::{
    Acknowledgement, Completion, Execution, Finding, History, Judgement, NodeView, Nonce, ObservedTask, ToldResult,
    Verdict, check,
};
pub use checkers::CheckerId;
pub use facts::{Facts, Malformed};
pub use record::Recording;
pub use report::{Report, Ruling, judge, judge_facts};
