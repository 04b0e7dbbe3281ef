//! The list of checks, in the order of CI: cheap ones first, the tests' closing lines last.

use std::path::Path;

use anyhow::{Result, bail};

use crate::next;
use crate::step::{cargo, has_extension};
use crate::tidy;

/// Everything is compiled in the one profile of the project, from the lockfile, without network.
pub(crate) const PINNED: [&str; 3] = ["--release", "--locked", "--offline"];

/// The published Rust client's tests: a workspace of their own.
const CONFORMANCE: &str = "sdk/conformance/rust/Cargo.toml";

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// Everything but the tests.
    Quick,
}

/// Runs every check and changes nothing.
pub(crate) fn verify(root: &Path, scope: Scope) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    cargo(root, &["fmt", "--manifest-path", CONFORMANCE, "--check"])?;
    eprintln!("xtask: tidy");
    tidy::run(root)?;
    deny(root)?;
    let all = [&["clippy"][..], &PINNED, &["--workspace", "--all-targets", "--", "-D", "warnings"]].concat();
    cargo(root, &all)?;
    if scope == Scope::Quick {
        return Ok(());
    }
    if !has_extension(root, "nextest") {
        bail!("cargo-nextest is missing; run: make deps");
    }
    next::build(root)?;
    next::test(root)?;
    cargo(root, &[&["test"][..], &PINNED, &["--workspace", "--doc", "--quiet"]].concat())?;
    let profile: &[&str] = if std::env::var_os("CI").is_some() { &["--profile", "ci"] } else { &[] };
    cargo(root, &[&["nextest", "run"][..], &PINNED, &["--workspace"], profile].concat())
}

/// Licences and the fences around dependencies. The advisory list needs the network, so it is not part of this.
fn deny(root: &Path) -> Result<()> {
    if !has_extension(root, "deny") {
        bail!("cargo-deny is not installed, so licences cannot be checked: run `make deps`, which installs it");
    }
    cargo(root, &["deny", "--offline", "--locked", "check", "bans", "licenses", "sources"])
}

/// Formats, and applies what clippy can mend by itself.
pub(crate) fn fix(root: &Path) -> Result<()> {
    let lints = ["--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"];
    cargo(root, &[&["clippy"][..], &PINNED, &lints].concat())?;
    cargo(root, &["fmt", "--all"])?;
    cargo(root, &["fmt", "--manifest-path", CONFORMANCE])
}
