//! Messages of Arrow: made as others read them, and read as others make them.

use std::collections::HashMap;

use arrow_ipc::convert::try_fb_to_schema;

use super::*;

fn schema_head(fields: Vec<Field>, metadata: &[(&str, &str)]) -> Bytes {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let schema = Schema::new_with_metadata(fields, metadata);
    FlightData::from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default())).data_header
}

fn upload_fields() -> Vec<Field> {
    vec![Field::new("version", DataType::UInt64, true), Field::new("data", DataType::Binary, true)]
}

#[test]
fn the_schema_says_what_follows() {
    let opaque = Incoming::Opaque(Column { offsets: 3, width: 4 });
    assert_eq!(incoming(&schema_head(upload_fields(), &[])).unwrap(), opaque);
    let wide = schema_head(vec![Field::new("data", DataType::LargeBinary, true)], &[]);
    assert_eq!(incoming(&wide).unwrap(), Incoming::Opaque(Column { offsets: 1, width: 8 }));
    let metadata = [(FORMAT_KEY, FORMAT_NATIVE)];
    let native = schema_head(vec![Field::new("name", DataType::Utf8, true)], &metadata);
    assert_eq!(incoming(&native).unwrap(), Incoming::Native);
    for fields in
        [vec![], vec![Field::new("name", DataType::Utf8, true)], vec![Field::new("data", DataType::Int32, true)]]
    {
        assert!(incoming(&schema_head(fields, &[])).unwrap_err().to_string().contains("data: binary"));
    }
    assert!(incoming(b"nonsense").is_err());
}

#[test]
fn a_row_that_was_made_can_be_read() {
    for text in ["", "x", "eight by", "more than eight bytes"] {
        let data = Blob::from(Bytes::copy_from_slice(text.as_bytes()));
        let (head, body) = row(7, "patch", &data);
        assert_eq!(kind(&head).unwrap(), Kind::Batch);
        assert_eq!(body.len() % ALIGNMENT, 0);
        // Behind two buffers of the version and three of the kind.
        assert_eq!(rows(&head, &body, Column { offsets: 6, width: 4 }).unwrap(), text);
        assert_eq!(rows(&head, &body, Column { offsets: 3, width: 4 }).unwrap(), "patch");
        let message = root_as_message(&head).unwrap();
        assert_eq!(message.bodyLength(), body.len() as i64);
        assert_eq!(body[..8], 7_u64.to_le_bytes());
    }
}

#[test]
fn a_batch_that_lies_about_its_buffers_is_refused() {
    let (head, body) = row(1, "base", &Blob::from(Bytes::from_static(b"some bytes that are there")));
    let column = Column { offsets: 6, width: 4 };
    assert!(rows(&head, &body.slice(..body.len() - 16), column).is_err());
    assert!(rows(&head, &body, Column { offsets: 8, width: 4 }).is_err());
    assert!(rows(&head, &body, Column { offsets: 6, width: 8 }).is_err());
    assert!(rows(&RESPONSE_SCHEMA, &body, column).is_err());
    let mut lying = BytesMut::from(&body[..]);
    let at = body.len() - 32 - 8;
    lying[at..at + 8].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    assert!(rows(&head, &lying.freeze(), column).is_err());
}

#[test]
fn the_version_of_a_schema_is_changed_and_nothing_else() {
    let fields = vec![
        Field::new("name", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
        Field::new("count", DataType::Int64, true),
    ];
    let metadata = [(FORMAT_KEY, FORMAT_NATIVE), (VERSION_KEY, "0"), ("of the user", "stays")];
    let head = schema_head(fields.clone(), &metadata);
    for version in [1, 12_345, u64::MAX] {
        let changed = with_version(&with_version(&head, 99).unwrap(), version).unwrap();
        let message = root_as_message(&changed).unwrap();
        let schema = try_fb_to_schema(message.header_as_schema().unwrap()).unwrap();
        assert_eq!(schema.metadata()[VERSION_KEY], version.to_string());
        assert_eq!(schema.metadata()["of the user"], "stays");
        assert_eq!(schema.fields().len(), fields.len());
    }
    let without = schema_head(fields, &[]);
    assert_eq!(with_version(&without, 3).unwrap(), without);
}

#[test]
fn a_framed_head_has_its_length_and_is_aligned() {
    let framed = framed(&RESPONSE_SCHEMA);
    assert_eq!(framed.len() % ALIGNMENT, 0);
    let length = u32::from_le_bytes(framed[4..8].try_into().unwrap()) as usize;
    assert_eq!(framed.len(), ALIGNMENT + length);
    root_as_message(&framed[8..]).unwrap();
}
