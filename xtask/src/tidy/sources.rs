//! The files of the project, as git knows them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::step::output_of;

/// Folders whose code is not part of what users run: checks of our own, and other people's clients.
const NOT_PRODUCT: [&str; 6] = ["xtask/", "crates/testkit/", "chaos/", "jepsen-tests/", "sdk/conformance/", "bench/"];

/// One text file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root, with `/` between its parts.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_python(&self) -> bool {
        self.path.ends_with(".py")
    }

    /// Whether users run this code, as opposed to those who check it.
    pub(crate) fn is_product(&self) -> bool {
        !self.is_test() && !NOT_PRODUCT.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Whether the whole file is a test.
    pub(crate) fn is_test(&self) -> bool {
        let folder = self.path.contains("/tests/") || self.path.contains("/benches/");
        folder || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// The lines before the tests at the end of a Rust file, numbered from 1; of other files, every line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins = |line: &str| line.trim_start_matches("pub(crate) ").starts_with("mod ") && line.ends_with('{');
        let opens_tests = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && begins(pair[1].trim());
        let end = lines.windows(2).position(opens_tests).unwrap_or(lines.len());
        lines.into_iter().take(end).enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The same lines without comments and without what stands in text literals.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let code = self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(at, line)| (at, without_text(line)))
    }
}

/// The line with the contents of its text literals taken out. Literals over several lines are not seen, which is
/// good enough for what the rules look for.
fn without_text(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let (mut inside, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            _ if inside => {}
            _ => kept.push(c),
        }
        escaped = inside && c == '\\' && !escaped;
    }
    kept
}

/// All files of the project.
pub(crate) struct Tree {
    sources: Vec<Source>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads what git tracks, and what is new and not ignored. Files that are not text are known but not read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let listed = output_of(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard", "-z"])?;
        let mut tree = Self { sources: Vec::new(), paths: BTreeSet::new() };
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // Removed from the folder, and git has not been told yet.
            if !full.is_file() {
                continue;
            }
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                tree.sources.push(Source { path: path.to_owned(), text });
            }
            tree.add_path(path);
        }
        Ok(tree)
    }

    fn add_path(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.paths.insert(path[..at].to_owned());
        }
        self.paths.insert(path.to_owned());
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_where_the_tests_begin() {
        let source = Source::new(
            "a/src/lib.rs",
            "//! Doc.\nfn a() {} // why\n#[cfg(test)]\nfn only_in_tests() {}\n\n#[cfg(test)]\nmod tests {\n    b();\n}\n",
        );
        let code: Vec<_> = source.code().map(|(line, text)| format!("{line} {text}")).collect();
        assert_eq!(code, ["2 fn a() {} // why", "3 #[cfg(test)]", "4 fn only_in_tests() {}", "5 "]);
    }

    #[test]
    fn text_literals_are_not_code() {
        assert_eq!(without_text(r#"say("a \" b").go("c")"#), "say().go()");
        assert_eq!(without_text("let a = 'b';"), "let a = 'b';");
    }

    #[test]
    fn products_are_what_users_run() {
        assert!(Source::new("worker/src/lib.rs", "").is_product());
        for path in ["worker/tests/it/main.rs", "chaos/src/main.rs", "crates/machine/src/apply/tests.rs"] {
            assert!(!Source::new(path, "").is_product(), "{path}");
        }
    }
}
