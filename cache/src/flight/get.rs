//! DoGet: the ticket is `app/session/object:version`, where the version is what the client has; without one, or with 0,
//! it has nothing.
//!
//! | answer | messages |
//! |---|---|
//! | everything, opaque | the schema, a row `base`, rows `patch` |
//! | what is new | the schema, rows `patch` |
//! | nothing is new | the schema |
//! | native Arrow | its own schema, its own messages |

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::{FlightData, Ticket};
use bytes::Bytes;
use flame_types::ObjectKey;
use futures::{Stream, StreamExt, stream};
use tonic::Status;

use super::messages::{RESPONSE_SCHEMA, row, with_version};
use crate::error::Refusal;
use crate::model::{Content, Part, Since};
use crate::objects::{Found, Objects};

/// Messages, made when they are wanted.
pub(super) type DataStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

pub(super) async fn get(objects: &Objects, ticket: &Ticket) -> Result<DataStream, Status> {
    let (key, version) = read_ticket(&ticket.ticket)?;
    let object = objects.get(&key).await?;
    let parts = match object.since(version) {
        Since::NotModified => Vec::new(),
        Since::Patches(parts) => parts.to_vec(),
        Since::Full => match &object.content {
            Content::Opaque(parts) => parts.clone(),
            Content::Native(_) => return Ok(native(object)?),
        },
    };
    let base_version = object.base_version;
    let rows = stream::iter(object.while_read(parts.into_iter())).map(move |part| Ok(of_part(&part, base_version)));
    Ok(Box::pin(stream::iter([Ok(data(RESPONSE_SCHEMA.clone(), Bytes::new()))]).chain(rows)))
}

fn of_part(part: &Arc<Part>, base_version: u64) -> FlightData {
    let kind = if part.version == base_version { "base" } else { "patch" };
    let (head, body) = row(part.version, kind, &part.data);
    data(head, body)
}

fn native(object: Found) -> Result<DataStream, Refusal> {
    let Content::Native(messages) = object.content.clone() else { return Ok(Box::pin(stream::empty())) };
    let Some(schema) = messages.first() else { return Ok(Box::pin(stream::empty())) };
    let schema = data(with_version(&schema.head, object.version())?, schema.body.clone());
    let rest = stream::iter(object.while_read(1..messages.len())).map(move |at| {
        let message = &messages[at];
        Ok(data(message.head.clone(), message.body.clone()))
    });
    Ok(Box::pin(stream::iter([Ok(schema)]).chain(rest)))
}

fn data(data_header: Bytes, data_body: Bytes) -> FlightData {
    FlightData { data_header, data_body, ..FlightData::default() }
}

fn read_ticket(ticket: &[u8]) -> Result<(ObjectKey, u64), Refusal> {
    let text = std::str::from_utf8(ticket)
        .map_err(|_| Refusal::Wrong("a ticket is text, app/session/object:version".to_owned()))?;
    // A name may have a colon of its own.
    let (key, version) = match text.rsplit_once(':').map(|(key, version)| (key, version.parse())) {
        Some((key, Ok(version))) => (key, version),
        _ => (text, 0),
    };
    Ok((ObjectKey::parse(key)?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_have_a_version_or_none() {
        let read = |text: &str| read_ticket(text.as_bytes()).map(|(key, version)| (key.to_string(), version));
        assert_eq!(read("a/s/o:12").unwrap(), ("a/s/o".to_owned(), 12));
        assert_eq!(read("a/s/o").unwrap(), ("a/s/o".to_owned(), 0));
        assert_eq!(read("a/s/o:x:3").unwrap(), ("a/s/o:x".to_owned(), 3));
        assert_eq!(read("a/s/o:x").unwrap(), ("a/s/o:x".to_owned(), 0));
        for wrong in ["", "a/s", "a/s:1", "a/*/o:0"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read_ticket(&[0xff]).is_err());
    }
}
