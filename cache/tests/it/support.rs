//! A cache in this process on a port of its own, and clients of each protocol.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, UInt64Array};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use flame_cache::directory::{Alone, CacheNode, Directory};
use flame_cache::options::Options;
use flame_cache::server::Running;
use flame_cache::store::StoreOptions;
use flame_cache::store::index::Bounds;
use flame_clock::SystemClock;
use flame_config::Eviction;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_proto::v1::cache_write_request::Payload;
use flame_proto::v1::object_cache_service_client::ObjectCacheServiceClient;
use flame_proto::v1::{CacheWriteHeader, CacheWriteRequest};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Most bytes of one object.
pub const OBJECT_MAX: u64 = 4 << 20;

/// Bytes that are shared with clients of this host.
pub const ARENA: u64 = 8 << 20;

/// A cache that serves until it is dropped.
pub struct Cache {
    running: Running,
    pub channel: Channel,
    _folder: TempDir,
}

impl Cache {
    /// With a disk, and room for a few objects.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::within(change, |node| Arc::new(Alone::new(node)) as Arc<dyn Directory>).await
    }

    /// As one of several, by this directory.
    pub async fn within(
        change: impl FnOnce(&mut Options),
        directory: impl FnOnce(CacheNode) -> Arc<dyn Directory>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { memory: 16 << 20, disk: 1 << 30, resident: 100_000, quota: None };
        let store =
            StoreOptions { folder: Some(folder.path().join("o")), bounds, eviction: Eviction::LeastRecentlyUsed };
        let mut options = Options {
            name: "test".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            store,
            object_max: OBJECT_MAX,
            arena: ARENA,
            metrics: None,
            tls: None,
            peers: None,
        };
        change(&mut options);
        let running = Running::start_in(options, Arc::new(SystemClock), |node, _, _| directory(node)).await.unwrap();
        let channel = connect(&running.endpoint).await;
        Self { running, channel, _folder: folder }
    }

    /// Where it is reached.
    pub fn endpoint(&self) -> &str {
        &self.running.endpoint
    }

    pub fn flight(&self) -> FlightServiceClient<Channel> {
        flight(self.channel.clone())
    }

    pub fn published(&self) -> ObjectCacheServiceClient<Channel> {
        ObjectCacheServiceClient::new(self.channel.clone())
    }

    pub fn own(&self) -> ObjectsClient<Channel> {
        ObjectsClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }
}

/// A connection to an endpoint as references have it.
pub async fn connect(endpoint: &str) -> Channel {
    let address = endpoint.strip_prefix("grpc://").unwrap();
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A Flight client without limits of its own.
pub fn flight(channel: Channel) -> FlightServiceClient<Channel> {
    FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
}

/// The batches of an upload of opaque bytes, one for each payload.
pub fn upload_batches(payloads: &[&[u8]]) -> (Arc<Schema>, Vec<RecordBatch>) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("version", DataType::UInt64, true),
        Field::new("data", DataType::Binary, true),
    ]));
    let batch = |payload: &&[u8]| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt64Array::from(vec![0])), Arc::new(BinaryArray::from_vec(vec![payload]))];
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    };
    let batches = payloads.iter().map(batch).collect();
    (schema, batches)
}

/// Messages as pyarrow sends them: the schema, dictionaries and batches; the descriptor comes with the first.
pub async fn encode(descriptor: FlightDescriptor, schema: Arc<Schema>, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_flight_descriptor(Some(descriptor))
        .with_max_flight_data_size(usize::MAX)
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend)
        .build(stream::iter(batches.into_iter().map(Ok)))
        .try_collect()
        .await
        .unwrap()
}

/// What a reference says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub endpoint: String,
    pub key: String,
    pub version: u64,
}

/// Reads the three fields of a reference, and insists that there are no others.
pub fn decode(document: &Bytes) -> Reference {
    fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (taken, left) = rest.split_at(count);
        *rest = left;
        taken
    }
    fn number(bytes: &[u8]) -> usize {
        u32::from_le_bytes(bytes.try_into().unwrap()) as usize
    }
    let mut rest = &document[..];
    assert_eq!(number(take(&mut rest, 4)), document.len());
    let mut texts = Vec::new();
    for name in ["endpoint", "key"] {
        assert_eq!(take(&mut rest, 1), [2]);
        assert_eq!(take(&mut rest, name.len() + 1), [name.as_bytes(), &[0]].concat());
        let length = number(take(&mut rest, 4));
        texts.push(String::from_utf8(take(&mut rest, length)[..length - 1].to_vec()).unwrap());
    }
    assert_eq!(take(&mut rest, 9), b"\x12version\0");
    let version = u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap());
    assert_eq!(rest, [0]);
    let key = texts.pop().unwrap();
    Reference { endpoint: texts.pop().unwrap(), key, version }
}

/// DoPut of these messages.
pub async fn do_put(client: &mut FlightServiceClient<Channel>, messages: Vec<FlightData>) -> Result<Reference, Status> {
    let results: Vec<_> = client.do_put(stream::iter(messages)).await?.into_inner().try_collect().await?;
    let [result] = results.as_slice() else { panic!("one result, not {results:?}") };
    Ok(decode(&result.app_metadata))
}

/// DoPut of opaque bytes to a path.
pub async fn put(client: &mut FlightServiceClient<Channel>, path: &str, data: &[u8]) -> Result<Reference, Status> {
    put_all(client, FlightDescriptor::new_path(vec![path.to_owned()]), &[data]).await
}

/// DoPut of opaque bytes in several rows.
pub async fn put_all(
    client: &mut FlightServiceClient<Channel>,
    descriptor: FlightDescriptor,
    rows: &[&[u8]],
) -> Result<Reference, Status> {
    let (schema, batches) = upload_batches(rows);
    do_put(client, encode(descriptor, schema, batches).await).await
}

/// DoPut of a patch.
pub async fn patch(client: &mut FlightServiceClient<Channel>, key: &str, data: &[u8]) -> Result<Reference, Status> {
    put_all(client, FlightDescriptor::new_cmd(format!("PATCH:{key}")), &[data]).await
}

/// One row of an answer.
pub type Row = (u64, String, Vec<u8>);

/// DoGet of an opaque object.
pub async fn get(client: &mut FlightServiceClient<Channel>, key: &str, version: u64) -> Result<Vec<Row>, Status> {
    let batches = do_get(client, key, version).await?;
    let mut rows = Vec::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        let versions = column("version");
        let versions = versions.as_any().downcast_ref::<UInt64Array>().unwrap();
        let kinds = column("kind");
        let kinds = kinds.as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
        let data = column("data");
        let data = data.as_any().downcast_ref::<BinaryArray>().unwrap();
        for at in 0..batch.num_rows() {
            rows.push((versions.value(at), kinds.value(at).to_owned(), data.value(at).to_vec()));
        }
    }
    Ok(rows)
}

/// DoGet, decoded.
pub async fn do_get(
    client: &mut FlightServiceClient<Channel>,
    key: &str,
    version: u64,
) -> Result<Vec<RecordBatch>, Status> {
    let ticket = Ticket { ticket: Bytes::from(format!("{key}:{version}")) };
    let stream = client.do_get(ticket).await?.into_inner();
    let stream = stream.map_err(|status| arrow_flight::error::FlightError::Tonic(Box::new(status)));
    let decoded = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(stream);
    decoded.try_collect().await.map_err(Status::from)
}

/// DoAction DELETE.
pub async fn delete(client: &mut FlightServiceClient<Channel>, target: &str) -> Result<(), Status> {
    let action = Action { r#type: "DELETE".to_owned(), body: Bytes::copy_from_slice(target.as_bytes()) };
    let results: Vec<_> = client.do_action(action).await?.into_inner().try_collect().await?;
    assert_eq!(results.len(), 1);
    Ok(())
}

/// The stream of a write: the header, then these chunks.
pub fn write(key: &str, chunks: &[&[u8]]) -> impl futures::Stream<Item = CacheWriteRequest> + use<> {
    let header = CacheWriteHeader { key: key.to_owned(), data_type: "raw".to_owned() };
    let first = CacheWriteRequest { payload: Some(Payload::Header(header)) };
    let chunks: Vec<_> = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk)).collect();
    let chunks = chunks.into_iter().map(|data| CacheWriteRequest { payload: Some(Payload::Data(data)) });
    stream::iter([first]).chain(stream::iter(chunks))
}

/// The code of a call that had to be refused, and a part of its text.
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, text: &str) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(text), "{text:?} is not in {:?}", status.message());
}
