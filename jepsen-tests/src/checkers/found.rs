//! What a checker says.

use std::collections::BTreeMap;
use std::fmt;

use crate::facts::EventAt;

/// Notes that are kept of each kind; the counts say how many there were.
const NOTES_KEPT_MAX: usize = 100;

/// One sentence, and where it can be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The event that shows it, from 0, where there is one.
    pub event: Option<EventAt>,
    /// What is the matter.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(event) => write!(f, "{} (event {event})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Everything that a checker says of one recording.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Broken promises: the first ones.
    pub broken: Vec<Note>,
    /// How many there are.
    pub broken_count: u64,
    /// What it could not find out: the first ones.
    pub unclear: Vec<Note>,
    /// How many there are.
    pub unclear_count: u64,
    /// What the plan asked for and did not happen.
    pub missing: Vec<Note>,
    /// Counts and times, for the report.
    pub figures: BTreeMap<&'static str, u64>,
}

impl Found {
    /// A promise is broken.
    pub fn broken(&mut self, event: impl Into<Option<EventAt>>, text: impl Into<String>) {
        self.broken_count += 1;
        keep(&mut self.broken, event.into(), text);
    }

    /// It is not known whether a promise is kept. That is no pass.
    pub fn unclear(&mut self, event: impl Into<Option<EventAt>>, text: impl Into<String>) {
        self.unclear_count += 1;
        keep(&mut self.unclear, event.into(), text);
    }

    /// Something that would have proved more did not happen.
    pub fn missing(&mut self, text: impl Into<String>) {
        self.missing.push(Note { event: None, text: text.into() });
    }

    /// A figure.
    pub fn figure(&mut self, name: &'static str, value: u64) {
        self.figures.insert(name, value);
    }

    /// One more of these.
    pub fn count(&mut self, name: &'static str) {
        *self.figures.entry(name).or_default() += 1;
    }
}

fn keep(notes: &mut Vec<Note>, event: Option<EventAt>, text: impl Into<String>) {
    if notes.len() < NOTES_KEPT_MAX {
        notes.push(Note { event, text: text.into() });
    }
}
