//! Every Rust file opens with `//!`: what it is, before how it does it.

use super::Finding;
use super::sources::Source;

pub(crate) fn check(source: &Source) -> Option<Finding> {
    let opening = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let says_something = opening.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    let what = "the first line does not say what the file is (//! ...)";
    (!says_something).then(|| Finding::new(&source.path, 1, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_opening_is_found() {
        assert_eq!(check(&Source::new("a.rs", "//! Doors.\nfn open() {}\n")), None);
        for text in ["", "fn open() {}\n", "//!\n//! late\n", "// not a doc comment\n"] {
            assert!(check(&Source::new("a.rs", text)).is_some(), "{text:?}");
        }
    }
}
