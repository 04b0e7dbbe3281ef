//! `flmctl deploy`: from a folder, an archive or a program to an application that runs it.
//!
//! | module | holds |
//! |---|---|
//! | [`source`] | what is to be deployed, file by file |
//! | [`unpack`] | archives that are deployed |
//! | [`pack`] | the package: the same files always make the same bytes |
//! | [`detect`] | which installer and which command |
//!
//! **Invariant:** nothing that is deployed leads out of its root: neither a name nor a link.

pub mod detect;
pub mod pack;
pub mod source;
mod unpack;

pub use detect::{Detected, Wanted, detect};
pub use pack::{Package, pack};
pub use source::{Kind, Source};
