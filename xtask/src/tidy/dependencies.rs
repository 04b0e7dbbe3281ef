//! Every dependency of the workspace says why it is there: a comment above it or above its group.

use super::Finding;
use super::sources::Source;

const SECTION: &str = "[workspace.dependencies]";

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut inside, mut explained) = (false, false);
    for (at, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            (inside, explained) = (line == SECTION, false);
        } else if line.is_empty() {
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else if inside && !explained && line.contains('=') {
            let name = line.split('=').next().unwrap_or_default().trim();
            let what = format!("the dependency {name} does not say why it is there: write a comment above it");
            findings.push(Finding::new(&source.path, at + 1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_section(section: &str) -> usize {
        check(&Source::new("Cargo.toml", section)).len()
    }

    #[test]
    fn a_comment_explains_its_group() {
        assert_eq!(check_section("[workspace.dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n"), 0);
        assert_eq!(check_section("[workspace.dependencies]\na = \"1\"\n# Why.\nb = \"1\"\n"), 1);
        assert_eq!(check_section("[workspace.dependencies]\n# Why.\na = \"1\"\n\nb = \"1\"\n"), 1);
    }

    #[test]
    fn other_sections_are_free() {
        assert_eq!(check_section("[package]\nname = \"a\"\n"), 0);
    }
}
