//! The second build of the coordinator, which understands one feature level more: upgrades and downgrades are tested with
//! it.
//!
//! It lies beside the others as `flame-coordinator-next`. Only the two crates that know of levels are compiled again; all
//! that they depend on is that of the ordinary build, since the whole workspace decides about features.

use std::path::Path;

use anyhow::Result;

use crate::step::cargo;
use crate::verify::PINNED;

const WHAT: [&str; 5] =
    ["--workspace", "--bin", "flame-coordinator-next", "--features", "flame-coordinator/next-level"];

/// Builds it.
pub(crate) fn build(root: &Path) -> Result<()> {
    cargo(root, &[&["build"][..], &PINNED, &WHAT].concat())
}

/// Runs the tests of the machine as that build has it: below its level it does the same as the ordinary one, and what the
/// level brings is held back until it is raised.
pub(crate) fn test(root: &Path) -> Result<()> {
    let machine = ["--package", "flame-machine", "--features", "next-level"];
    cargo(root, &[&["nextest", "run"][..], &PINNED, &machine].concat())
}
