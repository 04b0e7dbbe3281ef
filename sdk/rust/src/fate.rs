//! What became of one attempt of a call.
//!
//! **Invariant:** only three things prove that nothing was done and that another attempt may fare better: the connection
//! never came up (whoever does not take the other side's certificate never has one), or the server itself said UNAVAILABLE, or it said RESOURCE_EXHAUSTED together with a time after which to
//! come back (ours says either only before it has passed a command on). RESOURCE_EXHAUSTED without such a time is a limit,
//! which another attempt meets as well. Everything else that is no answer is *lost*.

use std::error::Error;
use std::time::Duration;

use flame_tls::Verdict;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt;

use crate::tls;

/// Longest time to come back after that is obeyed.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The end of an attempt that brought no result.
#[derive(Debug)]
pub(crate) enum Fate {
    /// Nothing was done: another attempt is safe.
    NotDone(Trouble),
    /// It may have been done.
    Lost(String),
    /// The server decided against it.
    Answered(Status),
}

/// What keeps a coordinator from doing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) why: String,
    /// No attempt before this has passed.
    pub(crate) wait: Duration,
    /// It is there, and has too much to do.
    pub(crate) is_busy: bool,
    /// It is there, and does not fit to this client's certificates.
    pub(crate) misfit: Option<Verdict>,
}

impl Trouble {
    /// It did not answer, or not to the purpose.
    pub(crate) fn with(why: impl Into<String>) -> Self {
        Self { why: why.into(), wait: Duration::ZERO, is_busy: false, misfit: None }
    }
}

impl Fate {
    pub(crate) fn of(status: Status) -> Self {
        let Some(source) = status.source() else {
            let why = || status.message().to_owned();
            return match (status.code(), asked_to_wait(&status)) {
                (Code::Unavailable, wait) => {
                    Self::NotDone(Trouble { wait: wait.unwrap_or_default(), ..Trouble::with(why()) })
                }
                (Code::ResourceExhausted, Some(wait)) => {
                    Self::NotDone(Trouble { wait, is_busy: true, ..Trouble::with(why()) })
                }
                (Code::Unknown | Code::Cancelled | Code::DeadlineExceeded, _) => Self::Lost(describe(&status)),
                _ => Self::Answered(status),
            };
        };
        // A status with a source was made on this side, by the transport.
        if let Some(misfit) = tls::misfit(&status) {
            return Self::NotDone(misfit);
        }
        let text = innermost(source).to_string();
        if chain(source).any(|error| error.is::<ConnectError>()) {
            Self::NotDone(Trouble::with(text))
        } else {
            Self::Lost(text)
        }
    }
}

/// When the server wants to be asked again.
fn asked_to_wait(status: &Status) -> Option<Duration> {
    let wait = status.get_details_retry_info()?.retry_delay?;
    Some(wait.min(WAIT_MAX))
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
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_server_that_says_unavailable_proves_that_nothing_was_done() {
        assert!(matches!(Fate::of(Status::unavailable("no leader")), Fate::NotDone(_)));
        assert!(matches!(Fate::of(Status::deadline_exceeded("late")), Fate::Lost(_)));
        assert!(matches!(Fate::of(Status::unknown("?")), Fate::Lost(_)));
        assert!(matches!(Fate::of(Status::not_found("s")), Fate::Answered(_)));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back_within_reason() {
        let trouble = |code, wait| {
            let details = ErrorDetails::with_retry_info(wait);
            match Fate::of(Status::with_error_details(code, "busy", details)) {
                Fate::NotDone(trouble) => trouble,
                other => panic!("{other:?}"),
            }
        };
        let busy = trouble(Code::ResourceExhausted, Some(Duration::from_millis(100)));
        assert_eq!(busy, Trouble { wait: Duration::from_millis(100), is_busy: true, ..Trouble::with("busy") });
        assert_eq!(trouble(Code::ResourceExhausted, Some(Duration::from_secs(9999))).wait, WAIT_MAX);
        let away = trouble(Code::Unavailable, Some(Duration::from_secs(1)));
        assert!(away.wait == Duration::from_secs(1) && !away.is_busy);
    }

    #[test]
    fn a_limit_is_an_answer() {
        assert!(matches!(Fate::of(Status::resource_exhausted("limit reached: sessions = 9")), Fate::Answered(_)));
        let details = ErrorDetails::with_help(Vec::new());
        let other = Status::with_error_details(Code::ResourceExhausted, "limit", details);
        assert!(matches!(Fate::of(other), Fate::Answered(_)));
        let garbage = Status::with_details(Code::ResourceExhausted, "limit", vec![0xff; 9].into());
        assert!(matches!(Fate::of(garbage), Fate::Answered(_)));
    }

    #[test]
    fn what_the_transport_made_is_lost_unless_the_connection_never_came_up() {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let never_up = Status::from_error(Box::new(ConnectError(Box::new(refused()))));
        assert!(matches!(Fate::of(never_up), Fate::NotDone(_)), "connect errors");
        let broke = Status::from_error(Box::new(refused()));
        assert!(matches!(Fate::of(broke), Fate::Lost(_)), "other errors");
    }
}
