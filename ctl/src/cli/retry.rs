//! A retry policy on the command line: `failed=3,failed_backoff=1s,lost=10`.

use flame_sdk::model::{Retries, Retry};

use crate::time::parse_span;

/// Reads a policy: for each cause, `CAUSE=STARTS`, `CAUSE_backoff=TIME` and `CAUSE_backoff_max=TIME`.
///
/// # Errors
/// Says which part cannot be read.
pub fn parse(text: &str) -> Result<Retries, String> {
    let mut retries = Retries::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no limit; write failed=3"))?;
        let name = name.trim();
        let (cause, what) = name.split_once('_').unwrap_or((name, ""));
        let place = match cause {
            "lost" => &mut retries.lost,
            "crashed" => &mut retries.crashed,
            "refused" => &mut retries.refused,
            "failed" => &mut retries.failed,
            _ => return Err(unknown(name)),
        };
        let place: &mut Retry = place.get_or_insert_default();
        let is_twice = match what {
            "" => place.starts_max.replace(starts(value)?).is_some(),
            "backoff" => place.backoff_ms.replace(wait_ms(value)?).is_some(),
            "backoff_max" => place.backoff_ms_max.replace(wait_ms(value)?).is_some(),
            _ => return Err(unknown(name)),
        };
        if is_twice {
            return Err(format!("{name:?} is there twice"));
        }
    }
    Ok(retries)
}

/// A length of time as the API has it.
///
/// # Errors
/// A sentence on how durations are written.
pub fn wait_ms(text: &str) -> Result<u64, String> {
    let length = parse_span(text.trim())?;
    u64::try_from(length.as_millis()).map_err(|_| format!("{text:?} is too long"))
}

fn starts(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(starts) if starts >= 1 => Ok(starts),
        _ => Err(format!("{text:?} is no number of starts; with 1 nothing is tried again")),
    }
}

fn unknown(name: &str) -> String {
    let known = "lost, crashed, refused and failed, each also with _backoff and _backoff_max";
    format!("{name:?} is no limit of a retry policy; there are {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_read() {
        let text = "lost=10,crashed=2,refused=7,failed=3,failed_backoff=500ms,failed_backoff_max=1m,lost_backoff=2s";
        let starts = |starts| Retry { starts_max: Some(starts), ..Retry::default() };
        let expected = Retries {
            lost: Some(Retry { backoff_ms: Some(2_000), ..starts(10) }),
            crashed: Some(starts(2)),
            refused: Some(starts(7)),
            failed: Some(Retry { backoff_ms: Some(500), backoff_ms_max: Some(60_000), ..starts(3) }),
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert!(wrong("").contains("is no limit"));
        assert!(wrong("failed").contains("write failed=3"));
        assert!(wrong("failed=0").contains("nothing is tried again"));
        assert!(wrong("failed=x").contains("no number of starts"));
        assert!(wrong("failed_backoff=soon").contains("no duration"));
        assert!(wrong("failed_wait=1s").contains("\"failed_wait\" is no limit"));
        assert!(wrong("broken=1").contains("lost, crashed, refused and failed"));
        assert!(wrong("failed=1,failed=2").contains("twice"));
    }
}
