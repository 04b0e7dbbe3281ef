//! What a call brings along beside its message: until when it wants an answer, and which generation it speaks.

use std::time::Duration;

use flame_proto::convert::parse_grpc_timeout;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::dialect::Dialect;

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
}

impl Call {
    /// Reads it from the metadata of a request.
    #[must_use]
    pub fn of(metadata: &MetadataMap) -> Self {
        let agent = metadata.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { deadline: Instant::now() + time_allowed(metadata), dialect: Dialect::of_user_agent(agent) }
    }

    /// The same caller on a stream that it keeps open, with the default time for the next answer.
    #[must_use]
    pub fn again(self) -> Self {
        Self { deadline: Instant::now() + DEADLINE_DEFAULT, ..self }
    }
}

/// How long the call may take on this side.
fn time_allowed(metadata: &MetadataMap) -> Duration {
    let limit = metadata.get("grpc-timeout").and_then(|value| parse_grpc_timeout(value.to_str().ok()?));
    limit.map_or(DEADLINE_DEFAULT, |limit| limit.saturating_sub(WAY_BACK.min(limit / 10))).min(DEADLINE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
