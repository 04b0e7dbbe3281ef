//! The corpus: recordings that must be accepted, and for each class of bugs one that must be rejected, by the checker whose
//! business it is.

mod bad_execution;
mod bad_replication;
mod bad_service;
mod classes;
mod good;
