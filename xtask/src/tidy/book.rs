//! The documentation is a book: every page is in its table of contents, and its links stay within it.

use std::collections::BTreeSet;

use super::Finding;
use super::links;
use super::sources::Source;

/// The table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Filled in by whoever copies it; no page.
const TEMPLATE: &str = "docs/adr/template.md";

pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(summary) = sources.iter().find(|source| source.path == SUMMARY) else {
        return vec![Finding::new(SUMMARY, 0, "the book has no table of contents")];
    };
    let listed: BTreeSet<String> = summary.lines().flat_map(|(_, line)| targets(summary, line)).collect();
    let pages = sources.iter().filter(|source| is_page(&source.path));
    pages.flat_map(|page| check_page(page, &listed)).collect()
}

fn check_page(page: &Source, listed: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !listed.contains(&page.path) {
        findings.push(Finding::new(&page.path, 0, format!("{SUMMARY} does not list this page: add a line for it")));
    }
    for (line_no, line) in page.lines() {
        for target in targets(page, line).into_iter().filter(|target| !target.starts_with("docs/")) {
            let what = format!("the link to {target} leads out of the book: name the file in `code` instead");
            findings.push(Finding::new(&page.path, line_no, what));
        }
    }
    findings
}

fn is_page(path: &str) -> bool {
    path.starts_with("docs/") && path.ends_with(".md") && path != SUMMARY && path != TEMPLATE
}

fn targets(page: &Source, line: &str) -> Vec<String> {
    links::links(line).filter_map(|link| links::resolve(&page.path, link)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = pages.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources).into_iter().map(|finding| format!("{}: {}", finding.path, finding.what)).collect()
    }

    #[test]
    fn a_page_is_listed_and_stays_within() {
        let summary = ("docs/SUMMARY.md", "- [A](a.md)\n- [B](adr/b.md)");
        assert!(
            found(&[summary, ("docs/a.md", "[b](adr/b.md#x)"), ("docs/adr/b.md", "[w](https://w.org)")]).is_empty()
        );
        assert!(found(&[summary, ("docs/adr/template.md", ""), ("worker/c.md", "")]).is_empty());
        assert_eq!(found(&[summary, ("docs/c.md", "")]).len(), 1);
        assert_eq!(found(&[summary, ("docs/a.md", "[r](../README.md)")]).len(), 1);
        assert_eq!(found(&[("docs/a.md", "")]).len(), 1);
    }
}
