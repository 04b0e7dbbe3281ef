//! `cargo xtask bench`: builds every program as users get it, then measures with them.

use std::path::Path;

use anyhow::Result;

use crate::step::cargo;
use crate::verify::PINNED;

/// Builds, and hands the arguments on to `flame-bench`; stdout is its alone.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    cargo(root, &[&["build"][..], &PINNED, &["--workspace", "--bins"]].concat())?;
    let start = ["--quiet", "--package", "flame-bench", "--bin", "flame-bench", "--"];
    cargo(root, &[&["run"][..], &PINNED, &start, arguments].concat())
}
