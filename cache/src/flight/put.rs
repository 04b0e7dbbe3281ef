//! DoPut: an object that is put, replaced or patched.
//!
//! | descriptor | means |
//! |---|---|
//! | PATH `app/session` | a new object, which the cache names |
//! | PATH `app/session/object` | that object, replaced if it is there |
//! | CMD `PATCH:app/session/object` | another part of that object |
//!
//! The schema says whether native Arrow follows. Rows of opaque bytes are one payload together, and no rows are an empty
//! one.

use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use flame_types::ObjectKey;
use tonic::Status;

use super::messages::{self, Incoming, Kind};
use crate::error::Refusal;
use crate::inflow::Inflow;
use crate::model::Info;
use crate::objects::write::RAW;
use crate::objects::{Draft, DraftContent, IfExists, Objects, Place, Scope, Upload, reference};

/// The type of native Arrow.
const ARROW: &str = "arrow";

/// What a descriptor asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    Put(Place),
    Patch(ObjectKey),
}

pub(super) async fn put(objects: &Objects, mut incoming: Inflow<FlightData>) -> Result<PutResult, Status> {
    let info = take(objects, &mut incoming).await?;
    let app_metadata = reference::encode(objects.endpoint(), info.key.as_str(), info.version);
    Ok(PutResult { app_metadata })
}

async fn take(objects: &Objects, incoming: &mut Inflow<FlightData>) -> Result<Info, Status> {
    let first = incoming.next(objects).await?;
    let first = first.ok_or_else(|| Refusal::Wrong("an upload begins with a descriptor and a schema".to_owned()))?;
    let wish = wish(first.flight_descriptor.as_ref())?;
    match messages::incoming(&first.data_header)? {
        Incoming::Opaque(column) => {
            let mut upload = incoming.upload(objects);
            while let Some(data) = next(objects, incoming).await? {
                if messages::kind(&data.data_header)? == Kind::Dictionary {
                    let why = "opaque bytes have no dictionaries; put them as native Arrow";
                    return Err(Refusal::Wrong(why.to_owned()).into());
                }
                upload.data(messages::rows(&data.data_header, &data.data_body, column)?).await?;
            }
            let (blob, room) = upload.into_blob();
            match wish {
                Wish::Put(place) => {
                    let draft = Draft { data_type: RAW.to_owned(), content: DraftContent::Opaque(blob) };
                    Ok(objects.put(place, draft, room, Scope::Any).await?)
                }
                Wish::Patch(key) => Ok(objects.patch(&key, None, blob, room, Scope::Any).await?),
            }
        }
        Incoming::Native => {
            let place = match wish {
                Wish::Put(place) => place,
                Wish::Patch(key) => return Err(Refusal::Native(key).into()),
            };
            let mut upload = incoming.upload(objects);
            message(&mut upload, first).await?;
            while let Some(data) = next(objects, incoming).await? {
                messages::kind(&data.data_header)?;
                message(&mut upload, data).await?;
            }
            let (messages, room) = upload.into_messages();
            let draft = Draft { data_type: ARROW.to_owned(), content: DraftContent::Native(messages) };
            Ok(objects.put(place, draft, room, Scope::Any).await?)
        }
    }
}

async fn message(upload: &mut Upload, data: FlightData) -> Result<(), Refusal> {
    upload.message(data.data_header, data.data_body).await
}

/// The next message that says anything.
async fn next(objects: &Objects, incoming: &mut Inflow<FlightData>) -> Result<Option<FlightData>, Status> {
    loop {
        match incoming.next(objects).await? {
            // Metadata of the application alone.
            Some(data) if data.data_header.is_empty() => {}
            other => return Ok(other),
        }
    }
}

fn wish(descriptor: Option<&FlightDescriptor>) -> Result<Wish, Refusal> {
    const EXPECTED: &str = "an upload names its object by a path app/session or app/session/object, or by a command \
                            PATCH:app/session/object";
    let wrong = || Refusal::Wrong(EXPECTED.to_owned());
    let descriptor = descriptor.ok_or_else(wrong)?;
    match descriptor.r#type() {
        DescriptorType::Path => Place::parse(&descriptor.path.join("/"), IfExists::Replace).map(Wish::Put),
        DescriptorType::Cmd => {
            let command = std::str::from_utf8(&descriptor.cmd).map_err(|_| wrong())?;
            let key = command.strip_prefix("PATCH:").ok_or_else(wrong)?;
            Ok(Wish::Patch(ObjectKey::parse(key)?))
        }
        DescriptorType::Unknown => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_wishes() {
        let path = |path: &[&str]| FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect());
        let key = ObjectKey::parse("a/s/o").unwrap();
        let at = Wish::Put(Place::At(key.clone(), IfExists::Replace));
        assert_eq!(wish(Some(&path(&["a/s/o"]))).unwrap(), at);
        assert_eq!(wish(Some(&path(&["a", "s", "o"]))).unwrap(), at);
        assert!(matches!(wish(Some(&path(&["a/s"]))).unwrap(), Wish::Put(Place::New(_))));
        assert_eq!(wish(Some(&FlightDescriptor::new_cmd("PATCH:a/s/o"))).unwrap(), Wish::Patch(key));
        for wrong in [path(&[]), path(&["a/*"]), path(&["a/s/.."]), FlightDescriptor::new_cmd("DROP:a/s/o")] {
            assert!(wish(Some(&wrong)).is_err(), "{wrong:?}");
        }
        assert!(wish(None).is_err());
    }
}
