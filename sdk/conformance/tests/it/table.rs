//! The page of the contract lists every check, and no check that does not exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// Functions below a line `@check`, by module.
fn python_checks() -> Result<BTreeSet<String>> {
    let mut checks = BTreeSet::new();
    let suites = ["python/suite", "python/objects"].map(|folder| std::fs::read_dir(here(folder)));
    for entry in suites.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "py") {
            continue;
        }
        let text = read(&path)?;
        let module = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
        let lines: Vec<_> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "@check") {
            let name = pair[1].strip_prefix("def ").and_then(|rest| rest.split_once('('));
            let (name, _) = name.with_context(|| format!("{module}: no function below @check: {}", pair[1]))?;
            checks.insert(format!("python::{module}::{name}"));
        }
    }
    Ok(checks)
}

/// Names inside `check_list!("group": …)`.
fn rust_checks() -> Result<BTreeSet<String>> {
    let mut checks = BTreeSet::new();
    for file in ["applications", "sessions", "tasks", "watches", "bin/objects"] {
        let text = read(&here("rust/src").join(format!("{file}.rs")))?;
        let (_, list) = text.split_once("check_list!(\"").with_context(|| format!("{file} has no list of checks"))?;
        let (group, list) = list.split_once("\":").context("a group has a name")?;
        let (list, _) = list.split_once(')').context("a list has an end")?;
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        checks.extend(names.map(|name| format!("rust::{group}::{name}")));
    }
    Ok(checks)
}

/// Everything between backquotes that names a check.
fn listed() -> Result<BTreeSet<String>> {
    let text = read(&here("../../docs/reference/conformance.md"))?;
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.filter(|name| name.starts_with("python::") || name.starts_with("rust::"));
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn the_page_of_the_contract_and_the_checks_are_in_step() -> Result<()> {
    let (python, rust, listed) = (python_checks()?, rust_checks()?, listed()?);
    assert!(python.len() > 50 && rust.len() > 40, "the checks were not found: {} and {}", python.len(), rust.len());
    let existing: BTreeSet<_> = python.union(&rust).cloned().collect();
    let unlisted: Vec<_> = existing.difference(&listed).collect();
    assert!(unlisted.is_empty(), "checks that docs/reference/conformance.md does not list: {unlisted:#?}");
    let missing: Vec<_> = listed.difference(&existing).collect();
    assert!(missing.is_empty(), "docs/reference/conformance.md lists checks that do not exist: {missing:#?}");
    Ok(())
}
