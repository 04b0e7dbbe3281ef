//! The table of the reference page.

use std::fmt::Write as _;

use crate::metric::Metric;

/// The metrics as rows of Markdown, in the order of the table.
#[must_use]
pub fn table(metrics: &[&Metric]) -> String {
    let mut text = "| metric | kind | unit | labels | what it counts |\n|---|---|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels = metric.labels.iter().map(|label| {
            let values: Vec<String> = label.values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.key, values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let Metric { name, kind, unit, help, .. } = metric;
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {labels} | {help} |", kind.name(), unit.name());
    }
    text
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
    fn only_the_section_changes() {
        assert_eq!(with_section("a<b>old</b>c", "<b>", "</b>", "new").as_deref(), Some("a<b>new</b>c"));
        assert_eq!(with_section("a<b>old", "<b>", "</b>", "new"), None);
    }
}
