//! Objects as frames, and what is known of them.

use std::sync::Arc;

use bytes::Bytes;
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;

use crate::limits::CHUNK_BYTES;
use crate::model::{ArrowMessage, Blob, Content, Info, Object, Part, Since};

/// What is known of an object.
pub(crate) fn info(endpoint: &str, info: &Info) -> ha::ObjectInfo {
    ha::ObjectInfo {
        endpoint: endpoint.to_owned(),
        key: info.key.to_string(),
        version: info.version,
        base_version: info.base_version,
        size: info.size,
        data_type: info.data_type.to_string(),
        creation_time_ms: info.created_ms,
        parts: u32::try_from(info.parts).unwrap_or(u32::MAX),
        native: info.is_native,
    }
}

/// The header, and the pieces of what is new to somebody who has this version.
pub(super) fn frames(
    endpoint: &str,
    object: &Object,
    version: u64,
) -> impl Iterator<Item = ha::ObjectFrame> + Send + use<> {
    let (extent, parts, messages) = match (object.since(version), &object.content) {
        (Since::NotModified, _) => (ha::Extent::NotModified, Vec::new(), Arc::default()),
        (Since::Patches(parts), _) => (ha::Extent::Patches, parts.to_vec(), Arc::default()),
        (Since::Full, Content::Opaque(parts)) => (ha::Extent::Full, parts.clone(), Arc::default()),
        (Since::Full, Content::Native(messages)) => (ha::Extent::Full, Vec::new(), messages.clone()),
    };
    let info = info(endpoint, &object.info());
    let header = ha::ObjectHeader { info: Some(info), extent: extent.into() };
    let parts = parts.into_iter().flat_map(|part| of_part(&part));
    let messages = (0..messages.len()).flat_map(move |at| of_message(at as u64, &messages[at]));
    let pieces = parts.chain(messages).map(|piece| frame(Frame::Piece(piece)));
    std::iter::once(frame(Frame::Header(header))).chain(pieces)
}

fn frame(frame: Frame) -> ha::ObjectFrame {
    ha::ObjectFrame { frame: Some(frame) }
}

fn of_part(part: &Arc<Part>) -> impl Iterator<Item = ha::ObjectPiece> + Send + use<> {
    pieces(part.version, Bytes::new(), &part.data)
}

fn of_message(number: u64, message: &ArrowMessage) -> impl Iterator<Item = ha::ObjectPiece> + Send + use<> {
    pieces(number, message.head.clone(), &Blob::from(message.body.clone()))
}

/// The bytes in pieces, the first of which has the head. There is one even where there are no bytes.
fn pieces(number: u64, head: Bytes, data: &Blob) -> impl Iterator<Item = ha::ObjectPiece> + Send + use<> {
    let empty = data.is_empty().then(Bytes::new);
    let chunks = empty.into_iter().chain(data.chunks(CHUNK_BYTES));
    chunks.enumerate().map(move |(at, data)| {
        let head = if at == 0 { head.clone() } else { Bytes::new() };
        ha::ObjectPiece { number, head, data }
    })
}

#[cfg(test)]
mod tests {
    use flame_types::ObjectKey;

    use super::*;

    fn object(content: Content) -> Object {
        Object {
            key: ObjectKey::parse("a/s/o").unwrap(),
            data_type: Arc::from("raw"),
            created_ms: 5,
            base_version: 2,
            content,
        }
    }

    fn shape(object: &Object, version: u64) -> (ha::Extent, Vec<(u64, usize, usize)>) {
        let mut frames = frames("grpc://a:1", object, version);
        let Some(Frame::Header(header)) = frames.next().unwrap().frame else { panic!("the header comes first") };
        let pieces = frames.map(|frame| match frame.frame.unwrap() {
            Frame::Piece(piece) => (piece.number, piece.head.len(), piece.data.len()),
            Frame::Header(_) => panic!("there is one header"),
        });
        (header.extent(), pieces.collect())
    }

    #[test]
    fn parts_come_with_their_versions() {
        let part = |version, length| Arc::new(Part { version, data: Blob::from(Bytes::from(vec![0; length])) });
        let object = object(Content::Opaque(vec![part(2, CHUNK_BYTES + 7), part(3, 0)]));
        let all = vec![(2, 0, CHUNK_BYTES), (2, 0, 7), (3, 0, 0)];
        assert_eq!(shape(&object, 0), (ha::Extent::Full, all));
        assert_eq!(shape(&object, 2), (ha::Extent::Patches, vec![(3, 0, 0)]));
        assert_eq!(shape(&object, 3), (ha::Extent::NotModified, vec![]));
    }

    #[test]
    fn messages_come_with_their_heads_once() {
        let message = |head: &'static [u8], length: usize| ArrowMessage {
            head: Bytes::from_static(head),
            body: Bytes::from(vec![0; length]),
        };
        let object = object(Content::Native(Arc::new(vec![message(b"schema", 0), message(b"rows", CHUNK_BYTES + 1)])));
        assert_eq!(shape(&object, 0), (ha::Extent::Full, vec![(0, 6, 0), (1, 4, CHUNK_BYTES), (1, 0, 1)]));
        assert_eq!(shape(&object, 2), (ha::Extent::NotModified, vec![]));
    }
}
