//! Labelled lines, as `flmctl view` prints them: labels are 15 wide.

use flame_sdk::model::{Attempt, Event};

use crate::time::clock_with_millis;

const LABEL_WIDTH: usize = 15;

/// Lines under construction.
#[derive(Debug, Default)]
pub(super) struct Details(String);

impl Details {
    /// `Label:         value`. An empty value still pads its label, as published.
    pub(super) fn line(&mut self, label: &str, value: impl std::fmt::Display) -> &mut Self {
        self.indented(0, label, value)
    }

    /// The same, one level in.
    pub(super) fn inner(&mut self, label: &str, value: impl std::fmt::Display) -> &mut Self {
        self.indented(2, label, value)
    }

    fn indented(&mut self, indent: usize, label: &str, value: impl std::fmt::Display) -> &mut Self {
        let label = format!("{:indent$}{label}:", "");
        // A label may be wider than its column: the name of a variable.
        let gap = if label.chars().count() < LABEL_WIDTH { "" } else { " " };
        self.0.push_str(&printable(&format!("{label:LABEL_WIDTH$}{gap}{value}")));
        self.0.push('\n');
        self
    }

    /// A line of its own, one level in or more.
    pub(super) fn item(&mut self, level: usize, text: &str) -> &mut Self {
        self.0.push_str(&printable(&format!("{:1$}{text}", "", 2 * level)));
        self.0.push('\n');
        self
    }

    /// `Events:` and a line for each.
    pub(super) fn events(&mut self, events: &[Event]) -> &mut Self {
        self.line("Events", "");
        for event in events {
            let time = clock_with_millis(event.creation_time);
            let message = event.message.as_deref().unwrap_or("-");
            self.0.push_str(&printable(&format!("  {time}: {message} ({})", event.code)));
            self.0.push('\n');
        }
        self
    }

    /// `Attempts:` and a line for each; nothing when there are none, as published.
    pub(super) fn attempts(&mut self, attempts: &[Attempt]) -> &mut Self {
        if attempts.is_empty() {
            return self;
        }
        self.line("Attempts", "");
        for Attempt { number, node, started, ended, message, .. } in attempts {
            let (started, ended) = (clock_with_millis(*started), ended.map_or("-".to_owned(), clock_with_millis));
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            self.0.push_str(&printable(&format!("  {number} on {node}, {started} to {ended}{message}")));
            self.0.push('\n');
        }
        self
    }

    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

/// What stands for a value that is not there.
pub(super) fn or_dash(text: Option<&str>) -> &str {
    match text {
        Some(text) if !text.is_empty() => text,
        _ => "-",
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
