//! What exit codes mean and what to do, taken from the very pages of the reference: there is one text for both.

use std::fmt::Write as _;

use serde::Serialize;

use crate::render::{Render, Sheet};

/// Exit codes of the daemons: a section for each, a table in it, and paragraphs that begin with the code.
const DAEMONS: &str = include_str!("../../docs/reference/exit-codes.md");

/// Those of the commands.
const COMMANDS: &str = include_str!("../../docs/reference/flmctl.md");

/// Who they are: all end with the same codes.
const COMMAND_NAMES: &str = "flmctl, flmping, flmexec";

/// What one program means by a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// The program.
    pub program: String,
    /// Its exit code.
    pub code: u8,
    /// Why it ended.
    pub meaning: String,
    /// Whether to start it again, if it is a daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_again: Option<String>,
    /// What to do, in paragraphs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<String>,
}

/// What every program means by a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// One for each program that ends with it.
    pub meanings: Vec<Meaning>,
}

impl Explanation {
    /// Of this code; without meanings when no program ends with it.
    #[must_use]
    pub fn of(code: u8) -> Self {
        let daemons = sections(DAEMONS).filter(|(title, _)| title.starts_with('`'));
        let commands = sections(COMMANDS).filter(|(title, _)| *title == "Exit codes");
        let commands = commands.map(|(_, text)| (COMMAND_NAMES, text));
        Self { meanings: daemons.chain(commands).filter_map(|(title, text)| meaning(title, text, code)).collect() }
    }
}

impl Render for Explanation {
    fn sheet(&self) -> Sheet {
        let told: Vec<String> = self.meanings.iter().map(Meaning::told).collect();
        Sheet::of_text(told.join("\n"))
    }
}

impl Meaning {
    fn told(&self) -> String {
        let mut text = format!("{} {}: {}\n", self.program, self.code, self.meaning);
        if let Some(again) = &self.start_again {
            let _ = writeln!(text, "Start it again? {again}");
        }
        for remedy in &self.remedies {
            let _ = write!(text, "\n{remedy}\n");
        }
        text
    }
}

/// The sections of a page: title and text.
fn sections(page: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}

fn meaning(title: &str, text: &str, code: u8) -> Option<Meaning> {
    let wanted = code.to_string();
    let mut row = text.lines().filter_map(cells).find(|cells| cells.first() == Some(&wanted))?.into_iter().skip(1);
    let remedies = text.split("\n\n").map(str::trim).filter(|paragraph| {
        let begun = paragraph.strip_prefix("**").and_then(|rest| rest.strip_prefix(&wanted));
        begun.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    });
    Some(Meaning {
        program: plain(title),
        code,
        meaning: row.next()?,
        start_again: row.next(),
        remedies: remedies.map(plain).collect(),
    })
}

/// The cells of a line of a table.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| plain(cell.trim())).collect())
}

/// Text without the signs of its markup, in one line.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // A link is its text.
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once("](").and_then(|(shown, target)| Some((shown, target.split_once(')')?.1))) {
            Some((shown, after)) => {
                plain.push_str(shown);
                rest = after;
            }
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    plain.replace("**", "").replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn of(program: &str, code: u8) -> Meaning {
        let found = Explanation::of(code).meanings.into_iter().find(|meaning| meaning.program == program);
        found.unwrap_or_else(|| panic!("{program} has no code {code}"))
    }

    #[test]
    fn every_code_of_a_coordinator_is_explained() {
        for code in [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18] {
            let Meaning { meaning, start_again, .. } = of("flame-coordinator", code);
            assert!(!meaning.is_empty() && start_again.is_some_and(|again| !again.is_empty()), "code {code}");
        }
        for code in [10, 11, 13, 14, 15, 16, 17, 18] {
            assert!(!of("flame-coordinator", code).remedies.is_empty(), "no page of remedies for {code}");
        }
    }

    #[test]
    fn every_code_of_the_commands_is_explained() {
        for (exit, text) in Exit::TABLE {
            assert_eq!(of(COMMAND_NAMES, exit.code()).meaning, *text);
        }
    }

    #[test]
    fn a_code_can_belong_to_several_programs_or_to_none() {
        let programs: Vec<String> = Explanation::of(2).meanings.into_iter().map(|meaning| meaning.program).collect();
        assert_eq!(programs, ["flame-coordinator", "flame-worker", "flame-cache", COMMAND_NAMES]);
        assert_eq!(Explanation::of(99).meanings, []);
    }

    #[test]
    fn markup_is_taken_out() {
        assert_eq!(plain("**15.** See [limits](limits.md#disk), `a`\nand [b"), "15. See limits, a and [b");
        // The paragraph of 1 would begin like that of 15.
        assert!(of("flame-coordinator", 1).remedies.is_empty());
    }
}
