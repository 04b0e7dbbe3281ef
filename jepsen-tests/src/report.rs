//! The word of all checkers together.

use std::fmt;

use crate::checkers::{self, Checker, CheckerId, Found, Note};
use crate::facts::{Facts, Malformed};
use crate::record::{Recording, Witness};

/// What a checker, or all of them together, comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ruling {
    /// The promise was kept, and there was something to keep.
    Valid,
    /// Nobody was listened to who could say. Of all together: a checker that the plan asks for did not judge, or what was
    /// meant to happen did not. This is no pass.
    Inconclusive,
    /// It could not be found out. This is no pass.
    Unknown,
    /// A promise was broken.
    Invalid,
}

impl Ruling {
    /// Whether this is a pass.
    #[must_use]
    pub fn passes(self) -> bool {
        self == Self::Valid
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Valid => "valid",
            Self::Inconclusive => "inconclusive",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        })
    }
}

/// The word of one checker.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which.
    pub checker: Checker,
    /// What it comes to.
    pub ruling: Ruling,
    /// Witnesses that it needs and nobody listened to: then it did not look.
    pub deaf: Vec<Witness>,
    /// What it says.
    pub found: Found,
}

/// The word of all checkers.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it comes to.
    pub ruling: Ruling,
    /// One after the other.
    pub judged: Vec<Judged>,
    /// Checkers that the plan asks for and that did not judge.
    pub absent: Vec<CheckerId>,
}

/// Holds a recording against every promise.
///
/// # Errors
/// [`Malformed`] if the recording contradicts itself: then nothing was judged, and nothing passes.
pub fn judge(recording: &Recording) -> Result<Report, Malformed> {
    let facts = Facts::new(recording)?;
    Ok(judge_facts(&facts))
}

/// The same, for whoever wants to look at the facts as well.
#[must_use]
pub fn judge_facts(facts: &Facts<'_>) -> Report {
    let judged: Vec<Judged> = checkers::ALL.iter().map(|checker| judge_one(facts, *checker)).collect();
    let asked_for = &facts.header.plan.checkers;
    let absent = judged.iter().filter(|judged| !judged.deaf.is_empty() && asked_for.contains(&judged.checker.id));
    let absent: Vec<CheckerId> = absent.map(|judged| judged.checker.id).collect();
    // What nobody asked for need not judge, nor come to anything; but what it finds wrong is wrong.
    let counts = |judged: &&Judged| judged.ruling == Ruling::Invalid || is_asked_for(facts, judged.checker.id);
    let worst = judged.iter().filter(counts).map(|judged| judged.ruling).max().unwrap_or(Ruling::Inconclusive);
    Report { ruling: worst, judged, absent }
}

/// Without a list in the plan, all who can judge are asked for. Whether anything happened is always asked.
fn is_asked_for(facts: &Facts<'_>, id: CheckerId) -> bool {
    let asked_for = &facts.header.plan.checkers;
    let can_judge =
        checkers::ALL.iter().find(|checker| checker.id == id).is_some_and(|checker| deaf(facts, checker).is_empty());
    id == CheckerId::C15 || if asked_for.is_empty() { can_judge } else { asked_for.contains(&id) }
}

fn deaf(facts: &Facts<'_>, checker: &Checker) -> Vec<Witness> {
    checker.needs.iter().copied().filter(|witness| !facts.header.witnesses.contains(witness)).collect()
}

fn judge_one(facts: &Facts<'_>, checker: Checker) -> Judged {
    let (deaf, mut found) = (deaf(facts, &checker), Found::default());
    if !deaf.is_empty() {
        return Judged { checker, ruling: Ruling::Inconclusive, deaf, found };
    }
    (checker.check)(facts, &mut found);
    let ruling = match &found {
        Found { broken_count: 1.., .. } => Ruling::Invalid,
        Found { unclear_count: 1.., .. } => Ruling::Unknown,
        Found { missing, .. } if !missing.is_empty() => Ruling::Inconclusive,
        _ => Ruling::Valid,
    };
    Judged { checker, ruling, deaf, found }
}

impl Report {
    /// What one checker says.
    #[must_use]
    pub fn of(&self, id: CheckerId) -> &Judged {
        self.judged.iter().find(|judged| judged.checker.id == id).expect("every checker has judged or said why not")
    }

    /// Every broken promise, with the checker that found it.
    pub fn broken(&self) -> impl Iterator<Item = (CheckerId, &Note)> {
        self.judged.iter().flat_map(|judged| judged.found.broken.iter().map(|note| (judged.checker.id, note)))
    }
}

/// Notes of each checker that are printed.
const SHOWN_NOTES_MAX: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for judged in &self.judged {
            let Judged { checker, ruling, deaf, found } = judged;
            write!(f, "{:<4} {ruling:<13} {}", checker.id.to_string(), checker.promise)?;
            for (name, value) in &found.figures {
                write!(f, " {name}={value}")?;
            }
            writeln!(f)?;
            if !deaf.is_empty() {
                writeln!(f, "       nobody listened to {deaf:?}")?;
            }
            shown(f, "broken", &found.broken, found.broken_count)?;
            shown(f, "not known", &found.unclear, found.unclear_count)?;
            shown(f, "did not happen", &found.missing, found.missing.len() as u64)?;
        }
        write!(f, "{}", self.ruling)
    }
}

fn shown(f: &mut fmt::Formatter<'_>, what: &str, notes: &[Note], count: u64) -> fmt::Result {
    for note in notes.iter().take(SHOWN_NOTES_MAX) {
        writeln!(f, "       {what}: {note}")?;
    }
    let shown = notes.len().min(SHOWN_NOTES_MAX) as u64;
    if count > shown { writeln!(f, "       {what}: {} more", count - shown) } else { Ok(()) }
}
