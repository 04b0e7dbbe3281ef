//! What became of one attempt of a call.
//!
//! **Invariant:** only two things prove that nothing was done: the connection never came up, or the server itself said
//! UNAVAILABLE (ours says so only before it has passed a command on). Everything else that is no answer is *lost*.

use std::error::Error;
use std::time::Duration;

use tonic::{Code, ConnectError, Status};

/// Trailer in which a busy server says when to come back, in milliseconds (a gRPC convention).
const PUSHBACK_TRAILER: &str = "grpc-retry-pushback-ms";

/// Longest such wait that is obeyed.
const PUSHBACK_MAX: Duration = Duration::from_secs(5);

/// The end of an attempt that brought no result.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Nothing was done: another attempt is safe, after `wait`.
    NotDone { why: String, wait: Duration },
    /// It may have been done.
    Lost(String),
    /// The server decided against it.
    Answered(Status),
}

impl Fate {
    pub(crate) fn of(status: Status) -> Self {
        let Some(source) = status.source() else {
            return match status.code() {
                Code::Unavailable => Self::NotDone { why: status.message().to_owned(), wait: pushback(&status) },
                Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => Self::Lost(describe(&status)),
                _ => Self::Answered(status),
            };
        };
        // A status with a source was made on this side, by the transport.
        let text = innermost(source).to_string();
        if chain(source).any(|error| error.is::<ConnectError>()) {
            Self::NotDone { why: text, wait: Duration::ZERO }
        } else {
            Self::Lost(text)
        }
    }
}

fn pushback(status: &Status) -> Duration {
    let asked = status.metadata().get(PUSHBACK_TRAILER).and_then(|text| text.to_str().ok()?.parse().ok());
    asked.map_or(Duration::ZERO, |milliseconds| Duration::from_millis(milliseconds).min(PUSHBACK_MAX))
}

fn describe(status: &Status) -> String {
    if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_says_unavailable_proves_that_nothing_was_done() {
        assert!(matches!(Fate::of(Status::unavailable("no leader")), Fate::NotDone { .. }));
        assert!(matches!(Fate::of(Status::deadline_exceeded("late")), Fate::Lost(_)));
        assert!(matches!(Fate::of(Status::unknown("?")), Fate::Lost(_)));
        assert!(matches!(Fate::of(Status::not_found("s")), Fate::Answered(_)));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back_within_reason() {
        let wait_of = |text: &'static str| {
            let mut status = Status::unavailable("busy");
            status.metadata_mut().insert(PUSHBACK_TRAILER, text.parse().unwrap());
            match Fate::of(status) {
                Fate::NotDone { wait, .. } => wait,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait_of("100"), Duration::from_millis(100));
        assert_eq!(wait_of("99999999"), PUSHBACK_MAX);
        assert_eq!(wait_of("soon"), Duration::ZERO);
    }

    #[test]
    fn what_the_transport_made_is_lost_unless_the_connection_never_came_up() {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let never_up = Status::from_error(Box::new(ConnectError(Box::new(refused()))));
        assert!(matches!(Fate::of(never_up), Fate::NotDone { .. }), "connect errors");
        let broke = Status::from_error(Box::new(refused()));
        assert!(matches!(Fate::of(broke), Fate::Lost(_)), "other errors");
    }
}
