//! Times and durations for people.
//!
//! **Invariant:** all times are UTC: the same command shows the same text on every machine.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// `13:57:08` of a time in milliseconds since 1970; `-` when there is none.
#[must_use]
pub fn clock(milliseconds: i64) -> String {
    format(milliseconds, "%H:%M:%S")
}

/// `13:57:08.549` of a time in milliseconds since 1970.
#[must_use]
pub fn clock_with_millis(milliseconds: i64) -> String {
    format(milliseconds, "%H:%M:%S.%3f")
}

/// `2025-12-17 13:57:08` of a time in milliseconds since 1970: for what may be days old.
#[must_use]
pub fn date_and_clock(milliseconds: i64) -> String {
    format(milliseconds, "%Y-%m-%d %H:%M:%S")
}

fn format(milliseconds: i64, pattern: &str) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(time) if milliseconds > 0 => time.strftime(pattern).to_string(),
        _ => "-".to_owned(),
    }
}

/// `1d 1h 2m 3s`, without the parts that are nothing.
#[must_use]
pub fn span(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(amount, _)| *amount > 0).map(|(amount, unit)| format!("{amount}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// The same, with the largest part only: `1d`.
#[must_use]
pub fn rough_span(seconds: u64) -> String {
    let whole = span(seconds);
    whole.split_once(' ').map_or(whole.as_str(), |(largest, _)| largest).to_owned()
}

/// Reads `30`, `30s`, `500ms`, `2m` or `1h`; a bare number is seconds.
///
/// # Errors
/// A sentence on how durations are written.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 30s, 500ms, 2m or 1h");
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let amount: u64 = digits.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(amount),
        "" | "s" => amount.checked_mul(1000),
        "m" => amount.checked_mul(60_000),
        "h" => amount.checked_mul(3_600_000),
        _ => None,
    };
    match milliseconds {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(wrong()),
    }
}

/// `1,603`.
#[must_use]
pub fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_published() {
        assert_eq!(clock(1_766_000_000_549), "19:33:20");
        assert_eq!(clock_with_millis(1_766_000_000_549), "19:33:20.549");
        assert_eq!(date_and_clock(1_766_000_000_549), "2025-12-17 19:33:20");
        assert_eq!(clock(0), "-");
        assert_eq!(clock(i64::MAX), "-");
    }

    #[test]
    fn spans_leave_out_what_is_nothing() {
        assert_eq!(span(60), "1m");
        assert_eq!(span(90_123), "1d 1h 2m 3s");
        assert_eq!(span(0), "0s");
        assert_eq!(rough_span(90_123), "1d");
        assert_eq!(rough_span(3_605), "1h");
        assert_eq!(rough_span(7), "7s");
    }

    #[test]
    fn durations_are_read_with_units() {
        assert_eq!(parse_span("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_span("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "1d", "-1", "0", "99999999999999999999", "18446744073709551615h"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_grouped_as_published() {
        let shown: Vec<String> = [0, 999, 1000, 10_000, 1_234_567].map(thousands).into();
        assert_eq!(shown, ["0", "999", "1,000", "10,000", "1,234,567"]);
    }
}
