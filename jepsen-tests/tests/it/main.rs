//! All tests of this crate: the format, the search, the checkers against a corpus of recordings, the workloads.

mod at_rest;
mod corpus;
mod edn;
mod execution_log;
mod file;
mod generate;
mod linearizable;
mod malformed;
mod report;
mod size;
mod story;
mod task_model;
