//! An object as parts numbered from 1.

use bytes::Bytes;

use flame_proto::v1::cache_get_response::Payload;
use flame_proto::v1::{CacheGetChunk, CacheGetHeader, CacheGetResponse, CacheObjectMetadata};

use crate::error::Refusal;
use crate::flight::messages::{END_OF_STREAM, framed, with_version};
use crate::limits::CHUNK_BYTES;
use crate::model::{Blob, Content, Gathering, Info, Object};

/// What is known of an object, as this protocol has it.
pub(super) fn metadata(endpoint: &str, info: &Info) -> CacheObjectMetadata {
    CacheObjectMetadata {
        endpoint: endpoint.to_owned(),
        key: info.key.to_string(),
        version: info.parts as u64,
        size: info.size,
        creation_time: info.created_ms,
        data_type: info.data_type.to_string(),
    }
}

/// The header, and the parts after this number, each in chunks.
pub(super) fn answer(
    object: &Object,
    after: u64,
) -> Result<impl Iterator<Item = CacheGetResponse> + Send + use<>, Refusal> {
    let parts = parts(object)?;
    let version = parts.len() as u64;
    if after > version {
        return Err(Refusal::Wrong(format!(
            "object {} has version {version}, and version {after} is invalid: what you have is of another object of this \
             name; ask from 0",
            object.key
        )));
    }
    let header = CacheGetHeader { version, data_type: object.data_type.to_string() };
    let chunks = (1..).zip(parts).skip(after as usize).flat_map(|(version, part)| {
        // An empty part is told by an empty chunk.
        let empty = part.is_empty().then(Bytes::new);
        let chunks = empty.into_iter().chain(part.chunks(CHUNK_BYTES));
        chunks.map(move |data| response(Payload::Chunk(CacheGetChunk { version, data })))
    });
    Ok(std::iter::once(response(Payload::Header(header))).chain(chunks))
}

fn response(payload: Payload) -> CacheGetResponse {
    CacheGetResponse { payload: Some(payload) }
}

fn parts(object: &Object) -> Result<Vec<Blob>, Refusal> {
    match &object.content {
        Content::Opaque(parts) => Ok(parts.iter().map(|part| part.data.clone()).collect()),
        Content::Native(messages) => {
            let mut stream = Gathering::default();
            for (at, message) in messages.iter().enumerate() {
                let head = if at == 0 { with_version(&message.head, object.version())? } else { message.head.clone() };
                stream.push(framed(&head));
                stream.push(message.body.clone());
            }
            stream.push(Bytes::from_static(&END_OF_STREAM));
            Ok(vec![stream.finish()])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flame_types::ObjectKey;

    use super::*;
    use crate::model::Part;

    fn object(parts: &[usize]) -> Object {
        let part = |(at, length): (usize, &usize)| {
            Arc::new(Part { version: 41 + at as u64, data: Blob::from(Bytes::from(vec![at as u8; *length])) })
        };
        Object {
            key: ObjectKey::parse("a/s/o").unwrap(),
            data_type: Arc::from("raw"),
            created_ms: 5,
            base_version: 41,
            content: Content::Opaque(parts.iter().enumerate().map(part).collect()),
        }
    }

    /// The version of the header, then of each chunk its part and its length.
    fn shape(object: &Object, after: u64) -> (u64, Vec<(u64, usize)>) {
        let mut version = 0;
        let mut chunks = Vec::new();
        for response in answer(object, after).unwrap() {
            match response.payload.unwrap() {
                Payload::Header(header) => version = header.version,
                Payload::Chunk(chunk) => chunks.push((chunk.version, chunk.data.len())),
            }
        }
        (version, chunks)
    }

    #[test]
    fn parts_are_numbered_from_one_whatever_their_versions() {
        let object = object(&[3, 0, CHUNK_BYTES + 1]);
        let all = vec![(1, 3), (2, 0), (3, CHUNK_BYTES), (3, 1)];
        assert_eq!(shape(&object, 0), (3, all.clone()));
        assert_eq!(shape(&object, 1), (3, all[1..].to_vec()));
        assert_eq!(shape(&object, 3), (3, vec![]));
        assert!(answer(&object, 4).err().unwrap().to_string().contains("version 4 is invalid"));
        assert_eq!(metadata("grpc://a:1", &object.info()).version, 3);
    }
}
