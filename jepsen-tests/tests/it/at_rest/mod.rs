//! The short check by three witnesses: histories that must pass, and one for each kind of wrong that must be rejected.

mod bad;
mod good;
mod histories;
