//! What a call brings along beside its message: until when it wants an answer, which generation it speaks, and, of a change,
//! the request id by which its repeats are known.

use std::time::Duration;

use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_types::{RequestId, RequestNo};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::dialect::Dialect;
use crate::drive::gateway::{Gateway, GatewayError};

/// Metadata of a change: 16 bytes that its client has drawn for it. All attempts to have it made carry the same, and it is
/// made once.
pub const REQUEST_ID_METADATA: &str = "flame-request-id-bin";

/// Metadata of the same change: `next_request` of `Cluster.Members` as its client knew it before the first attempt, in
/// decimal. In a refusal for its age: the present one.
pub const REQUEST_SEEN_METADATA: &str = "flame-request-seen";

/// Metadata of a call that is passed on for somebody: the user agent of that one.
pub const USER_AGENT_METADATA: &str = "flame-user-agent";

/// How long a call may take whose client says nothing: published clients never do, and never retry. Longer than any
/// election, so that a change of leader is a pause and not an error.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

/// Longest deadline that is honoured.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// Time left for the way back: the answer that says what is known must arrive before the client gives up.
const WAY_BACK: Duration = Duration::from_millis(50);

/// What a call brings along.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When the answer must be there.
    pub deadline: Instant,
    /// What the caller may be shown, for methods that both generations share by name.
    pub dialect: Dialect,
    request: Request,
}

/// What says that two calls are attempts of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Nothing: each call is a change of its own, as for published clients.
    Unnamed,
    /// An id, and what was known before the first attempt.
    Named(RequestId, RequestNo),
    /// Something else.
    Malformed,
}

impl Call {
    /// Reads it from the metadata of a request.
    #[must_use]
    pub fn of(metadata: &MetadataMap) -> Self {
        let agent = metadata.get(USER_AGENT_METADATA).or_else(|| metadata.get("user-agent"));
        let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let deadline = Instant::now() + time_allowed(metadata);
        Self { deadline, dialect: Dialect::of_user_agent(agent), request: Request::of(metadata) }
    }

    /// The same, where the name of the method tells the generation.
    #[must_use]
    pub fn speaking(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Has a change made: once, if the call says by which id its repeats are known.
    ///
    /// # Errors
    /// As [`Gateway::propose`].
    pub async fn change(self, gateway: &Gateway, command: Command) -> Result<Reply, GatewayError> {
        gateway.propose(self.request.named(command)?, self.deadline).await
    }

    /// Whether this may be a repeat.
    #[must_use]
    pub fn may_repeat(self) -> bool {
        self.request != Request::Unnamed
    }

    /// What to say when a change was made, and what it should be answered with cannot be had: nothing that could be taken
    /// for a change that was not made.
    #[must_use]
    pub fn made_but(self, status: Status) -> Status {
        let why = status.message();
        match status.code() {
            Code::Unavailable => Status::deadline_exceeded(format!("the change was made; {why}")),
            Code::NotFound if self.may_repeat() => {
                Status::aborted(format!("an attempt of this request was done, and what it left is gone since: {why}"))
            }
            _ => status,
        }
    }

    /// The same caller on a stream that it keeps open, with the default time for the next answer.
    #[must_use]
    pub fn again(self) -> Self {
        Self { deadline: Instant::now() + DEADLINE_DEFAULT, ..self }
    }
}

impl Request {
    fn of(metadata: &MetadataMap) -> Self {
        let Some(id) = metadata.get_bin(REQUEST_ID_METADATA) else { return Self::Unnamed };
        let id = id.to_bytes().ok().and_then(|bytes| <[u8; 16]>::try_from(bytes.as_ref()).ok());
        let seen = metadata.get(REQUEST_SEEN_METADATA).and_then(|seen| seen.to_str().ok()?.parse().ok());
        id.zip(seen).map_or(Self::Malformed, |(id, seen)| Self::Named(RequestId(id), RequestNo(seen)))
    }

    fn named(self, command: Command) -> Result<Command, Refusal> {
        match self {
            Self::Unnamed => Ok(command),
            Self::Named(request, seen) => Ok(Command::Once { request, seen, command: Box::new(command) }),
            Self::Malformed => Err(Refusal::InvalidSpec(format!(
                "{REQUEST_ID_METADATA} must have 16 bytes, and {REQUEST_SEEN_METADATA} a number that Cluster.Members gave"
            ))),
        }
    }
}

/// How long the call may take on this side.
fn time_allowed(metadata: &MetadataMap) -> Duration {
    let limit = metadata.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
    limit.map_or(DEADLINE_DEFAULT, |limit| limit.saturating_sub(WAY_BACK.min(limit / 10))).min(DEADLINE_MAX)
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    const DIGITS_MAX: usize = 8;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "-5S", "123456789S", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    fn metadata(agent: Option<&'static str>, id: Option<&[u8]>, seen: Option<&'static str>) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("user-agent", "flame-proxy/1 tonic/0.14".parse().unwrap());
        agent.map(|agent| metadata.insert(USER_AGENT_METADATA, agent.parse().unwrap()));
        id.map(|id| metadata.insert_bin(REQUEST_ID_METADATA, MetadataValue::from_bytes(id)));
        seen.map(|seen| metadata.insert(REQUEST_SEEN_METADATA, seen.parse().unwrap()));
        metadata
    }

    #[test]
    fn who_passes_a_call_on_says_for_whom() {
        assert_eq!(Call::of(&metadata(None, None, None)).dialect, Dialect::V07);
        let of_a_client = metadata(Some("grpc-python/1.71.0"), None, None);
        assert_eq!(Call::of(&of_a_client).dialect, Dialect::V06, "it is the client that must understand the answer");
    }

    #[test]
    fn a_change_with_a_request_id_is_done_once_and_any_other_as_it_comes() {
        let named = |id, seen| Request::of(&metadata(None, id, seen)).named(Command::Void);
        assert_eq!(named(None, None), Ok(Command::Void));
        assert_eq!(named(None, Some("7")), Ok(Command::Void), "without an id there is nothing to be known by");
        let once = Command::Once { request: RequestId([3; 16]), seen: RequestNo(7), command: Box::new(Command::Void) };
        assert_eq!(named(Some(&[3; 16]), Some("7")), Ok(once));
        for (id, seen) in [(&[3; 15][..], Some("7")), (&[3; 16], None), (&[3; 16], Some("-7")), (&[], Some("x"))] {
            assert!(matches!(named(Some(id), seen), Err(Refusal::InvalidSpec(_))), "{id:?} {seen:?}");
        }
    }

    #[test]
    fn what_was_done_is_never_said_to_be_undone() {
        let (unnamed, named) =
            (Call::of(&metadata(None, None, None)), Call::of(&metadata(None, Some(&[3; 16]), Some("7"))));
        for call in [unnamed, named] {
            assert_eq!(call.made_but(Status::unavailable("stopping")).code(), Code::DeadlineExceeded);
            assert_eq!(call.made_but(Status::internal("disk")).code(), Code::Internal);
        }
        assert_eq!(unnamed.made_but(Status::not_found("s")).code(), Code::NotFound, "as published");
        assert_eq!(named.made_but(Status::not_found("s")).code(), Code::Aborted);
    }

    /// How much time a call has whose client sends this.
    fn time_for(timeout: Option<&str>) -> Duration {
        let mut metadata = MetadataMap::new();
        if let Some(timeout) = timeout {
            metadata.insert("grpc-timeout", timeout.parse().unwrap());
        }
        time_allowed(&metadata)
    }

    #[test]
    fn without_a_timeout_the_default_holds() {
        assert_eq!(time_for(None), DEADLINE_DEFAULT);
        assert_eq!(time_for(Some("soon")), DEADLINE_DEFAULT);
    }

    #[test]
    fn a_timeout_leaves_room_for_the_way_back_and_has_a_limit() {
        assert_eq!(time_for(Some("2S")), Duration::from_millis(1950));
        assert_eq!(time_for(Some("100m")), Duration::from_millis(90));
        assert_eq!(time_for(Some("1000H")), DEADLINE_MAX);
    }
}
