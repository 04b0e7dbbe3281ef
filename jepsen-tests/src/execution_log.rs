//! Reads the log that a service writes itself: one line for each invocation, `nonce TAB pid`.
//!
//! All services of a run append to one file, so its lines are in the order of the starts.

use crate::history::{Execution, Nonce};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_in_order() {
        let executions = parse("a-1\t17\na-2\t18\n").expect("it is well formed");
        let expected = [("a-1", 17), ("a-2", 18)];
        let expected = expected.map(|(nonce, pid)| Execution { nonce: Nonce::new(nonce), pid });
        assert_eq!(executions, expected);
    }

    #[test]
    fn a_broken_line_is_never_skipped() {
        for broken in ["a-1", "a-1\tx", "\t1", "a\t1\t1", ""] {
            let text = format!("ok\t1\n{broken}\nok\t1\n");
            assert_eq!(parse(&text).expect_err("it is broken").line, 2, "{broken:?}");
        }
    }
}
