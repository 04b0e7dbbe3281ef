//! Reads the log that a service writes itself: one line for each invocation, `nonce TAB pid`.
//!
//! All services of a run append to one file, so its lines are in the order of the starts.

use crate::at_rest::{Execution, Nonce};

/// A line that is not of that form. The log is evidence: a line that cannot be read is never skipped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the service's log is not `nonce TAB pid`: {text:?}")]
pub struct UnreadableLine {
    /// Counted from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

/// All executions, in the order of the log.
///
/// # Errors
/// [`UnreadableLine`] names the first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Execution>, UnreadableLine> {
    let unreadable = |(index, line): (usize, &str)| UnreadableLine { line: index + 1, text: line.to_owned() };
    text.lines().enumerate().map(|line| parse_line(line.1).ok_or_else(|| unreadable(line))).collect()
}

fn parse_line(line: &str) -> Option<Execution> {
    let mut fields = line.split('\t');
    let (nonce, pid) = (fields.next()?, fields.next()?);
    if nonce.is_empty() || fields.next().is_some() {
        return None;
    }
    Some(Execution { nonce: Nonce::new(nonce), pid: pid.parse().ok()? })
}
