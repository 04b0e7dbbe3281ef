//! Objects of native Arrow: they come back as they were, dictionaries and tables without rows too.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow_flight::{FlightDescriptor, Ticket};
use arrow_schema::{DataType, Field, Schema};
use flame_proto::ha;
use flame_proto::ha::object_frame::Frame;
use flame_proto::v1::CacheGetRequest;
use flame_proto::v1::cache_get_response::Payload;
use futures::TryStreamExt;
use tonic::Code;

use crate::support::{Cache, do_get, do_put, encode, patch, refused, write};

fn native(fields: Vec<Field>, columns: Vec<ArrayRef>) -> RecordBatch {
    let metadata = [
        ("flame.cache.format", "arrow-table-v1"),
        ("flame.cache.version", "0"),
        ("flame.cache.logical_type", "pyarrow.table"),
        ("of the user", "stays"),
    ];
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), columns).unwrap()
}

fn people() -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Ada"), None, Some("Grace")]));
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![36, 41, 85]));
    native(vec![Field::new("name", DataType::Utf8, true), Field::new("age", DataType::Int64, true)], vec![names, ages])
}

fn words() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = vec!["yes", "no", "yes", "maybe"].into_iter().collect();
    let field = Field::new("word", words.data_type_of(), true);
    native(vec![field], vec![Arc::new(words)])
}

trait TypeOf {
    fn data_type_of(&self) -> DataType;
}

impl<T: arrow_array::Array> TypeOf for T {
    fn data_type_of(&self) -> DataType {
        self.data_type().clone()
    }
}

async fn put(cache: &Cache, path: &str, batches: Vec<RecordBatch>) -> u64 {
    let schema = batches[0].schema();
    let descriptor = FlightDescriptor::new_path(vec![path.to_owned()]);
    do_put(&mut cache.flight(), encode(descriptor, schema, batches).await).await.unwrap().version
}

fn columns(batches: &[RecordBatch]) -> Vec<&[ArrayRef]> {
    batches.iter().map(RecordBatch::columns).collect()
}

#[tokio::test]
async fn tables_come_back_with_their_version() {
    let cache = Cache::start().await;
    for (version, batches) in
        [(1, vec![people(), people()]), (2, vec![people().slice(0, 0)]), (3, vec![words(), words()])]
    {
        assert_eq!(put(&cache, "a/s/table", batches.clone()).await, version);
        let got = do_get(&mut cache.flight(), "a/s/table", 0).await.unwrap();
        let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(rows(&got), rows(&batches), "version {version}");
        if rows(&got) > 0 {
            assert_eq!(columns(&got), columns(&batches));
            let metadata = got[0].schema().metadata().clone();
            assert_eq!(metadata["flame.cache.version"], version.to_string());
            assert_eq!(metadata["of the user"], "stays");
        }
        let known = do_get(&mut cache.flight(), "a/s/table", version).await.unwrap();
        assert!(known.is_empty(), "not modified: {known:?}");
    }
}

#[tokio::test]
async fn every_message_comes_back_byte_for_byte() {
    let cache = Cache::start().await;
    let descriptor = FlightDescriptor::new_path(vec!["a/s/words".to_owned()]);
    let sent = encode(descriptor, words().schema(), vec![words()]).await;
    do_put(&mut cache.flight(), sent.clone()).await.unwrap();
    let ticket = Ticket { ticket: "a/s/words:0".into() };
    let got: Vec<_> = cache.flight().do_get(ticket).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(got.len(), sent.len());
    assert!(sent.len() > 2, "a schema, a dictionary and a batch");
    for (sent, got) in sent.iter().zip(&got).skip(1) {
        assert_eq!((&sent.data_header, &sent.data_body), (&got.data_header, &got.data_body));
    }
}

#[tokio::test]
async fn native_arrow_is_described_by_its_own_schema_and_not_patched() {
    let cache = Cache::start().await;
    put(&cache, "a/s/table", vec![people()]).await;
    let path = FlightDescriptor::new_path(vec!["a/s/table".to_owned()]);
    let info = cache.flight().get_flight_info(path).await.unwrap().into_inner();
    let schema = info.try_decode_schema().unwrap();
    assert_eq!(schema.metadata()["flame.cache.version"], "1");
    assert!(schema.field_with_name("age").is_ok());
    refused(patch(&mut cache.flight(), "a/s/table", b"x").await, Code::FailedPrecondition, "native Arrow");
    let request = write("a/s/table", &[b"x"]);
    refused(cache.published().patch(request).await, Code::FailedPrecondition, "native Arrow");
}

#[tokio::test]
async fn the_other_protocols_show_it_as_a_stream_and_as_messages() {
    let cache = Cache::start().await;
    put(&cache, "a/s/table", vec![people()]).await;
    let request = CacheGetRequest { key: "a/s/table".to_owned(), version: 0 };
    let answers: Vec<_> = cache.published().get(request).await.unwrap().into_inner().try_collect().await.unwrap();
    let mut stream = Vec::new();
    for answer in answers {
        match answer.payload.unwrap() {
            Payload::Header(header) => assert_eq!((header.version, header.data_type.as_str()), (1, "arrow")),
            Payload::Chunk(chunk) => stream.extend_from_slice(&chunk.data),
        }
    }
    let reader = arrow_ipc::reader::StreamReader::try_new(&stream[..], None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(columns(&batches), columns(&[people()]));

    let request = ha::FetchObjectRequest { key: "a/s/table".to_owned(), ..ha::FetchObjectRequest::default() };
    let frames: Vec<_> = cache.own().fetch(request).await.unwrap().into_inner().try_collect().await.unwrap();
    let mut messages = Vec::new();
    for frame in frames {
        match frame.frame.unwrap() {
            Frame::Header(header) => assert!(header.info.unwrap().native),
            Frame::Piece(piece) => messages.push(ha::ArrowMessage { head: piece.head, body: piece.data }),
        }
    }
    let header = ha::PutObjectHeader { key: "b/s/copy".to_owned(), native: true, ..ha::PutObjectHeader::default() };
    let frames = std::iter::once(ha::put_object_frame::Frame::Header(header))
        .chain(messages.into_iter().map(ha::put_object_frame::Frame::Message))
        .map(|frame| ha::PutObjectFrame { frame: Some(frame) });
    let frames: Vec<_> = frames.collect();
    cache.own().put(futures::stream::iter(frames)).await.unwrap();
    let copy = do_get(&mut cache.flight(), "b/s/copy", 0).await.unwrap();
    assert_eq!(columns(&copy), columns(&[people()]));
}
