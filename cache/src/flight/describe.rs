//! What is listed and described: endpoints, sizes, schemas.

use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Location, SchemaResult, Ticket};
use bytes::Bytes;
use flame_types::ObjectKey;

use super::messages::{RESPONSE_SCHEMA, framed, with_version};
use crate::error::Refusal;
use crate::model::{Content, Info, Object};
use crate::objects::Objects;

/// What describes a path. Also one where nothing lies: clients ask where they would put something.
pub(super) async fn describe(objects: &Objects, descriptor: FlightDescriptor) -> Result<FlightInfo, Refusal> {
    let path = path(&descriptor)?;
    let known = match ObjectKey::parse(&path) {
        Ok(key) => found(objects.info(&key).await)?,
        Err(_) => None,
    };
    let schema = match &known {
        Some(info) if info.is_native => schema_of(&*objects.get(&info.key).await?)?,
        _ => framed(&RESPONSE_SCHEMA),
    };
    Ok(info(objects, &path, known.as_ref(), schema, Some(descriptor)))
}

/// One line of a listing.
pub(super) fn listed(objects: &Objects, known: &Info) -> FlightInfo {
    let path = known.key.to_string();
    let descriptor = FlightDescriptor::new_path(vec![path.clone()]);
    // The schema of native Arrow is in its bytes, which a listing does not read: clients ask for it.
    let schema = if known.is_native { Bytes::new() } else { framed(&RESPONSE_SCHEMA) };
    info(objects, &path, Some(known), schema, Some(descriptor))
}

/// The schema of what a DoGet would give.
pub(super) async fn schema(objects: &Objects, descriptor: &FlightDescriptor) -> Result<SchemaResult, Refusal> {
    let schema = match ObjectKey::parse(&path(descriptor)?) {
        Ok(key) => match found(objects.info(&key).await)? {
            Some(info) if info.is_native => schema_of(&*objects.get(&key).await?)?,
            _ => framed(&RESPONSE_SCHEMA),
        },
        Err(_) => framed(&RESPONSE_SCHEMA),
    };
    Ok(SchemaResult { schema })
}

fn found(info: Result<Info, Refusal>) -> Result<Option<Info>, Refusal> {
    match info {
        Ok(info) => Ok(Some(info)),
        Err(refused) if refused.is_missing() => Ok(None),
        Err(refused) => Err(refused),
    }
}

fn schema_of(object: &Object) -> Result<Bytes, Refusal> {
    match &object.content {
        Content::Native(messages) => match messages.first() {
            Some(schema) => Ok(framed(&with_version(&schema.head, object.version())?)),
            None => Ok(framed(&RESPONSE_SCHEMA)),
        },
        Content::Opaque(_) => Ok(framed(&RESPONSE_SCHEMA)),
    }
}

fn info(
    objects: &Objects,
    path: &str,
    known: Option<&Info>,
    schema: Bytes,
    flight_descriptor: Option<FlightDescriptor>,
) -> FlightInfo {
    let endpoint = FlightEndpoint {
        ticket: Some(Ticket { ticket: Bytes::from(format!("{path}:0")) }),
        location: vec![Location { uri: objects.endpoint().to_owned() }],
        ..FlightEndpoint::default()
    };
    FlightInfo {
        schema,
        flight_descriptor,
        endpoint: vec![endpoint],
        total_records: -1,
        total_bytes: known.map_or(-1, |info| i64::try_from(info.size).unwrap_or(i64::MAX)),
        ..FlightInfo::default()
    }
}

fn path(descriptor: &FlightDescriptor) -> Result<String, Refusal> {
    if descriptor.r#type() != DescriptorType::Path || descriptor.path.is_empty() {
        return Err(Refusal::Wrong("objects are described by a path app/session or app/session/object".to_owned()));
    }
    Ok(descriptor.path.join("/"))
}
