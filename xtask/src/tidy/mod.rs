//! The rules of the tree that no compiler knows. Each file holds one rule, with its tests.
//!
//! | module | rule |
//! |---|---|
//! | [`sizes`] | files and functions stay short enough to be read |
//! | [`headers`] | every Rust file opens with what it is |
//! | [`homes`] | clocks, `unwrap`, hash maps: calls that are allowed in certain places only |
//! | [`edges`] | which crate may use which, and which dependencies stay behind a fence |
//! | [`dependencies`] | every dependency says why it is there |
//! | [`links`] | links of the documentation lead somewhere |
//! | [`book`] | every page is in the book's table of contents, and links stay within it |
//! | [`places`] | nothing names a path of one machine or a host of a package registry |

mod book;
mod dependencies;
mod edges;
mod headers;
mod homes;
mod links;
mod places;
mod sizes;
mod sources;

use std::path::Path;

use anyhow::{Result, bail};

use sources::{Source, Tree};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    pub(crate) path: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }
}

/// Checks every rule.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut findings = edges::check(&edges::packages(root)?);
    findings.extend(book::check(tree.sources()));
    for source in tree.sources() {
        findings.extend(check_file(source, &tree));
    }
    for Finding { path, line, what } in &findings {
        println!("{path}:{line}: {what}");
    }
    if !findings.is_empty() {
        bail!("{} rules of the tree are broken", findings.len());
    }
    Ok(())
}

fn check_file(source: &Source, tree: &Tree) -> Vec<Finding> {
    let mut findings = places::check(source);
    if source.is_rust() {
        findings.extend(headers::check(source));
        findings.extend(homes::check(source));
    }
    if source.is_rust() || source.is_python() {
        findings.extend(sizes::check(source));
    }
    if source.path == "Cargo.toml" {
        findings.extend(dependencies::check(source));
    }
    findings.extend(links::check(source, &|path| tree.has(path)));
    findings
}
