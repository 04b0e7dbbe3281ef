//! The table of the reference page, and pages with sections that are written by tests.

use std::fmt::Write as _;

use crate::label::RELEASE;
use crate::metric::Metric;

/// The metrics as rows of Markdown, in the order of the table.
#[must_use]
pub fn table(metrics: &[&Metric]) -> String {
    let mut text = "| metric | kind | unit | labels | what it counts |\n|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels = metric.labels.iter().map(|label| {
            let values: Vec<String> = label.values.iter().map(|value| shown(value)).collect();
            format!("`{}`: {}", label.key, values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let Metric { name, kind, unit, help, .. } = metric;
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {labels} | {help} |", kind.name(), unit.name());
    }
    text
}

/// What changes with every release must not make every release change the page.
fn shown(value: &str) -> String {
    if value == RELEASE { "the release".to_owned() } else { format!("`{value}`") }
}

/// Compares a section of a page with what it should be; with `BLESS` in the environment, writes it anew instead.
///
/// # Errors
/// The first line that differs, or why the page cannot be read or written.
pub fn check(path: &str, begin: &str, end: &str, section: &str) -> Result<(), String> {
    let page = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let expected = with_section(&page, begin, end, section).ok_or_else(|| format!("{path}: a mark is missing"))?;
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, expected).map_err(|error| format!("{path}: {error}"));
    }
    if page == expected {
        return Ok(());
    }
    let first = page.lines().zip(expected.lines()).find(|(have, want)| have != want);
    let (have, want) = first.unwrap_or(("another number of lines", ""));
    Err(format!("{path} is stale, run with BLESS=1:\n have {have}\n want {want}"))
}

/// A page with the text between two marks replaced; `None` when a mark is missing.
#[must_use]
pub fn with_section(page: &str, begin: &str, end: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{section}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LabelNames, Unit};

    #[test]
    fn a_row_says_all_there_is() {
        let ends = &[LabelNames { key: "end", values: &["well", "badly"] }];
        let metric = Metric::counter("flame_ends_total", Unit::Count, "Ends.").by(ends);
        let row = "| `flame_ends_total` | counter |  | `end`: `well`, `badly` | Ends. |\n";
        assert!(table(&[&metric]).ends_with(row), "{}", table(&[&metric]));
    }

    #[test]
    fn a_release_is_named_and_not_shown() {
        let release = &[LabelNames { key: "version", values: &[RELEASE] }];
        let metric = Metric::gauge("flame_build_info", Unit::Count, "One.").by(release);
        assert!(table(&[&metric]).contains("| `version`: the release |"), "{}", table(&[&metric]));
    }

    #[test]
    fn a_stale_page_is_told_with_the_line() {
        let missing = check("/nowhere/page.md", "<b>", "</b>", "").unwrap_err();
        assert!(missing.contains("/nowhere/page.md"), "{missing}");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(check(path, "no such mark", "nor this", "").unwrap_err().contains("a mark is missing"));
        if std::env::var_os("BLESS").is_none() {
            let stale = check(path, "[package]\n", "\nversion", "name = \"other\"").unwrap_err();
            assert!(stale.contains("want name = \"other\""), "{stale}");
        }
    }

    #[test]
    fn only_the_section_changes() {
        assert_eq!(with_section("a<b>old</b>c", "<b>", "</b>", "new").as_deref(), Some("a<b>new</b>c"));
        assert_eq!(with_section("a<b>old", "<b>", "</b>", "new"), None);
    }
}
