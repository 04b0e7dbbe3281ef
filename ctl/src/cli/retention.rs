//! A retention policy on the command line: `task_age=2h,task_count=100000,closed_age=24h`.

use flame_sdk::model::Retention;
use flame_types::resources::parse_memory;

/// Reads a policy.
///
/// # Errors
/// Says which part cannot be read.
pub fn parse(text: &str) -> Result<Retention, String> {
    let mut retention = Retention::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no limit; write task_age=2h"))?;
        let place = match name.trim() {
            "task_age" => (&mut retention.task_age_ms, age_ms(value)?),
            "task_age_min" => (&mut retention.task_age_ms_min, age_ms(value)?),
            "task_count" => (&mut retention.task_count, count(value)?),
            "task_bytes" => (&mut retention.task_bytes, bytes(value)?),
            "closed_age" => (&mut retention.closed_age_ms, age_ms(value)?),
            other => {
                let known = "task_age, task_age_min, task_count, task_bytes and closed_age";
                return Err(format!("{other:?} is no limit of a session; there are {known}"));
            }
        };
        if place.0.replace(place.1).is_some() {
            return Err(format!("{name:?} is there twice"));
        }
    }
    Ok(retention)
}

/// A whole number with its unit: `500ms`, `30s`, `10m`, `2h`, `7d`.
fn age_ms(text: &str) -> Result<u64, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit_ms: Option<u64> = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let age = digits.parse::<u64>().ok().zip(unit_ms).and_then(|(amount, unit_ms)| amount.checked_mul(unit_ms));
    age.ok_or_else(|| format!("{text:?} is no length of time; write it like 30s, 10m, 2h or 7d"))
}

fn count(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is no whole number"))
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_memory(text).ok_or_else(|| format!("{text:?} is no size; write it like 512m or 2g"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_read() {
        let text = "task_age=2h,task_age_min=500ms,task_count=10,task_bytes=1g,closed_age=7d";
        let expected = Retention {
            task_age_ms: Some(7_200_000),
            task_age_ms_min: Some(500),
            task_count: Some(10),
            task_bytes: Some(1 << 30),
            closed_age_ms: Some(604_800_000),
            closed_count: None,
            closed_bytes: None,
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert!(wrong("").contains("is no limit"));
        assert!(wrong("task_age=2").contains("no length of time"));
        assert!(wrong("task_count=x").contains("no whole number"));
        assert!(wrong("task_bytes=1x").contains("no size"));
        assert!(wrong("closed_count=1").contains("no limit of a session"));
        assert!(wrong("task_count=1,task_count=2").contains("twice"));
    }
}
