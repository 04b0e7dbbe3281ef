//! Packages of applications, put where workers fetch them: into the object cache, under
//! `<application>/pkg/<name of the archive>`.
//!
//! They are put by the published protocol, so any object cache takes them.
//!
//! **Invariant:** a package that is there under its name is not written again: names carry the checksum of their content.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use flame_proto::v1;
use flame_proto::v1::object_cache_service_client::ObjectCacheServiceClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tonic::Code;
use tonic::transport::Channel;

use crate::cache_nodes::{CacheNodes, Node};
use crate::endpoints::Environment;
use crate::objects::DATA_TYPE;
use crate::{Connection, FlameError, TlsFiles};

/// Bytes of a package in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Where packages are put.
#[derive(Debug)]
pub struct PackageStore {
    nodes: CacheNodes,
}

impl PackageStore {
    /// The cache that `given`, the file `config` or the environment names; `None` when nothing does.
    ///
    /// ```
    /// use flame_sdk::endpoints::Environment;
    /// use flame_sdk::packages::PackageStore;
    ///
    /// let environment = Environment { cache_endpoint: Some("grpc://a,grpc://b:1".to_owned()), ..Environment::default() };
    /// let store = PackageStore::discover(None, None, &environment, &Default::default())?.unwrap();
    /// assert_eq!(store.url("app/pkg/app.tar.gz"), "grpc://a:9090/app/pkg/app.tar.gz");
    /// # Ok::<(), flame_sdk::FlameError>(())
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says which text or file is wrong.
    pub fn discover(
        given: Option<&str>,
        config: Option<&Path>,
        environment: &Environment,
        tls: &TlsFiles,
    ) -> Result<Option<Self>, FlameError> {
        Ok(CacheNodes::discover(given, config, environment, tls)?.map(|nodes| Self { nodes }))
    }

    /// The cache that the coordinators know.
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] when they know none, [`FlameError::Unavailable`] when none of them answers.
    pub async fn of_cluster(connection: &Connection) -> Result<Self, FlameError> {
        let nodes = CacheNodes::of_cluster(connection).await?.ok_or_else(CacheNodes::none_named)?;
        Ok(Self { nodes })
    }

    /// Where workers find a package of this key.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        self.nodes.nodes().first().map(|node| node.url(key)).unwrap_or_default()
    }

    /// Puts a package of `size` bytes, and answers its URL at the node that has taken it. Under a key that carries the
    /// checksum of the content, what is there already is not written again.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// use flame_sdk::packages::PackageStore;
    ///
    /// let store = PackageStore::of_cluster(&flame_sdk::connect().await?).await?;
    /// let archive = b"...".as_slice();
    /// let url = store.put("app/pkg/app-0123456789abcdef.tar.gz", archive.len() as u64, || async { Ok(archive) }).await?;
    /// println!("{url}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when no node answers; [`FlameError::AlreadyExists`] when another content is there;
    /// [`FlameError::ResourceExhausted`] when the cache has no room for it.
    pub async fn put<R, F>(&self, key: &str, size: u64, open: impl Fn() -> F) -> Result<String, FlameError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        F: Future<Output = std::io::Result<R>>,
    {
        let mut silent = Vec::new();
        for node in &self.nodes.nodes() {
            let content = open().await.map_err(|error| FlameError::Internal(format!("cannot read: {error}")))?;
            match self.put_at(node, key, size, content).await {
                Err(FlameError::Unavailable(why)) => silent.push(format!("{}: {why}", node.authority())),
                Ok(()) => return Ok(node.url(key)),
                Err(error) => return Err(error),
            }
        }
        Err(FlameError::Unavailable(format!("no object cache takes the package: {}", silent.join("; "))))
    }

    async fn put_at<R>(&self, node: &Node, key: &str, size: u64, content: R) -> Result<(), FlameError>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let mut client = self.client(node)?;
        if let Some(there) = self.size_at(&mut client, key).await? {
            return same(key, there, size);
        }
        let header = v1::CacheWriteHeader { key: key.to_owned(), data_type: DATA_TYPE.to_owned() };
        let first = v1::CacheWriteRequest { payload: Some(v1::cache_write_request::Payload::Header(header)) };
        let rest = stream::unfold(content, |mut content| async move {
            let chunk = read_chunk(&mut content).await?;
            let payload = Some(v1::cache_write_request::Payload::Data(chunk));
            Some((v1::CacheWriteRequest { payload }, content))
        });
        let written = client.put(stream::iter([first]).chain(rest)).await;
        match written {
            Ok(reply) if reply.get_ref().size == size => Ok(()),
            Ok(reply) => {
                // The content could not be read to its end, or changed meanwhile: under this name it must not stay.
                let written = reply.into_inner().size;
                client.delete(v1::CacheDeleteRequest { key: key.to_owned() }).await.ok();
                Err(FlameError::Internal(format!("{written} of {size} bytes of {key} could be read")))
            }
            // Somebody else has put it meanwhile.
            Err(status) if status.code() == Code::AlreadyExists => {
                let there = self.size_at(&mut client, key).await?.unwrap_or_default();
                same(key, there, size)
            }
            Err(status) => Err(FlameError::from_answer(&status)),
        }
    }

    /// The size of what is there under this key.
    async fn size_at(
        &self,
        client: &mut ObjectCacheServiceClient<Channel>,
        key: &str,
    ) -> Result<Option<u64>, FlameError> {
        match client.get_metadata(v1::CacheGetMetadataRequest { key: key.to_owned() }).await {
            Ok(reply) => Ok(Some(reply.into_inner().size)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(FlameError::from_answer(&status)),
        }
    }

    /// Removes a package. It need not be there.
    ///
    /// # Errors
    /// [`FlameError::Unavailable`] when no node answers.
    pub async fn delete(&self, key: &str) -> Result<(), FlameError> {
        let mut last = FlameError::Unavailable("no object cache is named".to_owned());
        for node in &self.nodes.nodes() {
            let deleted = self.client(node)?.delete(v1::CacheDeleteRequest { key: key.to_owned() }).await;
            match deleted.map_err(|status| FlameError::from_answer(&status)) {
                Ok(_) => return Ok(()),
                Err(error @ FlameError::Unavailable(_)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn client(&self, node: &Node) -> Result<ObjectCacheServiceClient<Channel>, FlameError> {
        let channel = self.nodes.channel(node)?;
        Ok(ObjectCacheServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }
}

/// Whether what is there is as large as what should be.
fn same(key: &str, there: u64, size: u64) -> Result<(), FlameError> {
    if there == size {
        return Ok(());
    }
    Err(FlameError::AlreadyExists(format!("the object cache has another {key}, of {there} bytes instead of {size}")))
}

/// The next piece of a package; none at its end. What cannot be read ends it, and its size then tells.
async fn read_chunk(content: &mut (impl AsyncRead + Unpin)) -> Option<Bytes> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    while chunk.len() < CHUNK_BYTES {
        match content.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    (!chunk.is_empty()).then(|| chunk.freeze())
}
