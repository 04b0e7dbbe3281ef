//! What of a request is passed on beside its message.
//!
//! **Invariant:** what belongs to the connection stays on it, in both directions; everything else is passed on.

use std::time::Duration;

use flame_proto::convert::parse_grpc_timeout;
use tonic::metadata::{KeyAndValueRef, MetadataMap, MetadataValue};

/// Names the program that calls, where the user agent names whoever passes the call on: by it a coordinator tells which
/// generation of the published protocol the caller speaks.
pub(crate) const CALLER: &str = "flame-user-agent";

/// Of the connection that a call came over.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "date",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-message",
    "grpc-message-type",
    "grpc-status",
    "grpc-timeout",
];

/// Time left for the way back: what is known must reach the caller before it stops listening.
const WAY_BACK: Duration = Duration::from_millis(100);

/// What of a request goes on to a coordinator.
pub(crate) fn passed_on(request: &MetadataMap) -> MetadataMap {
    let mut metadata = without_connection(request);
    if metadata.get(CALLER).is_none()
        && let Some(agent) = request.get("user-agent").and_then(|agent| agent.to_str().ok())
        && let Ok(agent) = MetadataValue::try_from(agent)
    {
        metadata.insert(CALLER, agent);
    }
    metadata
}

/// The same without what belongs to the connection.
pub(crate) fn without_connection(metadata: &MetadataMap) -> MetadataMap {
    let mut kept = MetadataMap::with_capacity(metadata.len());
    for entry in metadata.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) if !OF_THE_CONNECTION.contains(&key.as_str()) => {
                kept.append(key, value.clone());
            }
            KeyAndValueRef::Ascii(..) => {}
            KeyAndValueRef::Binary(key, value) => {
                kept.append_bin(key, value.clone());
            }
        }
    }
    kept
}

/// How long the caller wants to wait, if it says so.
pub(crate) fn time_allowed(request: &MetadataMap) -> Option<Duration> {
    let limit = parse_grpc_timeout(request.get("grpc-timeout")?.to_str().ok()?)?;
    Some(limit.saturating_sub(WAY_BACK.min(limit / 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_request(entries: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (key, value) in entries {
            metadata.append(*key, value.parse().unwrap());
        }
        metadata
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let mut request = of_request(&[
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", "5S"),
            ("grpc-accept-encoding", "gzip"),
            ("authorization", "Bearer x"),
            ("several", "1"),
            ("several", "2"),
        ]);
        request.insert_bin("key-bin", MetadataValue::from_bytes(&[7; 3]));
        let passed = passed_on(&request);
        assert_eq!(passed.keys().count(), 3);
        assert_eq!(passed.get("authorization").unwrap(), "Bearer x");
        assert_eq!(passed.get_all("several").iter().count(), 2);
        assert_eq!(passed.get_bin("key-bin").unwrap().to_bytes().unwrap().as_ref(), [7; 3]);
    }

    #[test]
    fn the_caller_is_named_even_behind_a_second_proxy() {
        let agent = |entries: &[(&'static str, &str)]| {
            passed_on(&of_request(entries)).get(CALLER).map(|agent| agent.to_str().unwrap().to_owned())
        };
        assert_eq!(agent(&[("user-agent", "grpc-python/1.71.0")]).as_deref(), Some("grpc-python/1.71.0"));
        let second = agent(&[("user-agent", "flame-sdk/0.1"), (CALLER, "grpc-python/1.71.0")]);
        assert_eq!(second.as_deref(), Some("grpc-python/1.71.0"));
        assert_eq!(agent(&[]), None);
    }

    #[test]
    fn a_caller_that_waits_hears_of_it_in_time() {
        let allowed = |timeout: &str| time_allowed(&of_request(&[("grpc-timeout", timeout)]));
        assert_eq!(allowed("5S"), Some(Duration::from_millis(4900)));
        assert_eq!(allowed("100m"), Some(Duration::from_millis(90)));
        assert_eq!(allowed("soon"), None);
        assert_eq!(time_allowed(&MetadataMap::new()), None);
    }
}
