//! Links lead somewhere: relative links of Markdown files, and pages of `docs/` that any file names.

use super::Finding;
use super::sources::Source;

pub(crate) fn check(source: &Source, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line_no, line) in source.lines() {
        let mut targets: Vec<String> = named_pages(line);
        if source.path.ends_with(".md") {
            targets.extend(links(line).filter_map(|link| resolve(&source.path, link)));
        }
        targets.sort();
        targets.dedup();
        for target in targets.into_iter().filter(|target| !exists(target)) {
            findings.push(Finding::new(&source.path, line_no, format!("{target} does not exist")));
        }
    }
    findings
}

/// Targets of `[text](target)`.
pub(crate) fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The path a link means, from the root; `None` for links that leave the project or stay on the page.
pub(crate) fn resolve(page: &str, link: &str) -> Option<String> {
    let path = link.split(['#', ' ']).next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Pages written as `docs/….md` in any text: comments and messages name them too.
fn named_pages(line: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for (at, _) in line.match_indices("docs/") {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_')) {
            continue;
        }
        let end = line[at..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_')));
        let name = &line[at..end.map_or(line.len(), |end| at + end)];
        if let Some(page) = name.split_inclusive(".md").next().filter(|page| page.ends_with(".md")) {
            pages.push(page.to_owned());
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, line: &str, expected: &[&str]) {
        let exists = |path: &str| ["README.md", "docs", "docs/a.md", "docs/adr/b.md"].contains(&path);
        let found = check(&Source::new(path, line), &exists);
        let found: Vec<_> = found.iter().map(|finding| finding.what.trim_end_matches(" does not exist")).collect();
        assert_eq!(found, expected, "{path}: {line}");
    }

    #[test]
    fn relative_links_are_followed_from_their_page() {
        check_line("docs/a.md", "[x](adr/b.md) [y](../README.md#top) [z](#here) [w](./)", &[]);
        check_line("docs/a.md", "[x](b.md), [y](../docs/none.md)", &["docs/b.md", "docs/none.md"]);
        check_line("docs/a.md", "[x](https://example.org/c.md)", &[]);
    }

    #[test]
    fn pages_named_in_any_file_are_looked_for() {
        check_line("worker/src/a.rs", "// see docs/a.md.", &[]);
        check_line("Cargo.toml", "# (docs/adr/none.md)", &["docs/adr/none.md"]);
        check_line("worker/src/a.rs", "// other/docs/none.md", &[]);
    }
}
