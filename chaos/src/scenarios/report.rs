//! What a scenario says at its end.

use std::fmt;

use serde_json::{Map, Value};

/// The last word of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The trouble came, and every promise was kept.
    Passed,
    /// A promise was broken. Why, each in a sentence.
    Failed(Vec<String>),
    /// The trouble did not bite, so nothing is proved.
    Inconclusive(Vec<String>),
    /// The trouble cannot be made here.
    Skipped(String),
}

impl Outcome {
    /// The word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Inconclusive(_) => "inconclusive",
            Self::Skipped(_) => "skipped",
        }
    }

    /// What the command exits with. 2 is left for a command that is written wrongly.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed(_) => 1,
            Self::Inconclusive(_) => 3,
            Self::Skipped(_) => 4,
        }
    }

    fn reasons(&self) -> &[String] {
        match self {
            Self::Passed => &[],
            Self::Failed(reasons) | Self::Inconclusive(reasons) => reasons,
            Self::Skipped(reason) => std::slice::from_ref(reason),
        }
    }
}

/// A scenario, its last word, and the figures behind it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario.
    pub scenario: &'static str,
    /// The last word.
    pub outcome: Outcome,
    /// Numbers, texts and lists, in the order in which they are shown.
    pub figures: Vec<(&'static str, Value)>,
}

impl Report {
    /// A scenario that cannot be played here.
    #[must_use]
    pub fn skipped(scenario: &'static str, reason: String) -> Self {
        Self { scenario, outcome: Outcome::Skipped(reason), figures: Vec::new() }
    }

    /// The same as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        serde_json::json!({
            "scenario": self.scenario,
            "outcome": self.outcome.word(),
            "reasons": self.outcome.reasons(),
            "figures": figures,
        })
    }
}

/// `NAME: WORD figure=value ... because: reason; reason`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scenario, self.outcome.word())?;
        for (name, value) in &self.figures {
            match value {
                Value::String(text) => write!(f, " {name}={text}")?,
                Value::Array(values) => {
                    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                    write!(f, " {name}={}", values.join(","))?;
                }
                value => write!(f, " {name}={value}")?,
            }
        }
        let reasons = self.outcome.reasons();
        if reasons.is_empty() { Ok(()) } else { write!(f, " because: {}", reasons.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_word_the_figures_and_the_reasons() {
        let report = Report {
            scenario: "leader-kill",
            outcome: Outcome::Failed(vec!["2 tasks are lost".to_owned(), "1 worker was given up".to_owned()]),
            figures: vec![("kills", 3.into()), ("gaps_ms", vec![900, 1100].into()), ("profile", "fast".into())],
        };
        let expected = "leader-kill: failed kills=3 gaps_ms=900,1100 profile=fast because: 2 tasks are lost; 1 worker \
                        was given up";
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.json()["figures"]["gaps_ms"][1], 1100);
        assert_eq!(report.outcome.exit_code(), 1);
    }

    #[test]
    fn what_proves_nothing_is_no_pass() {
        let skipped = Report::skipped("power-cut", "mounting needs root".to_owned());
        assert_eq!(skipped.to_string(), "power-cut: skipped because: mounting needs root");
        assert_ne!(skipped.outcome.exit_code(), 0);
        assert_ne!(Outcome::Inconclusive(Vec::new()).exit_code(), 0);
    }
}
