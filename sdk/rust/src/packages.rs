//! Packages of applications, put where workers fetch them: into the object cache, under
//! `<application>/pkg/<name of the archive>`.
//!
//! Where the cache is: the endpoint that the program gives, else `cache.endpoint` of the configuration file that it gives,
//! else the variable `FLAME_CACHE_ENDPOINT` (several nodes with commas), else `~/.flame/flame.yaml`.
//!
//! **Invariant:** a package that is there under its name is not written again: names carry the checksum of their content.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flame_proto::v1;
use flame_proto::v1::object_cache_service_client::ObjectCacheServiceClient;
use flame_types::limits::MESSAGE_BYTES_MAX;
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::FlameError;
use crate::endpoints::{CACHE_ENDPOINT_VARIABLE, Environment, read_file, wrong};
use crate::tls::{CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, TlsFiles};

/// Port of a cache that names none (published).
const PORT: u16 = 9090;

/// Bytes of a package in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What the cache calls bytes that it does not look into (published).
const DATA_TYPE: &str = "raw";

/// Where packages are put.
#[derive(Clone, Debug)]
pub struct PackageStore {
    nodes: Vec<Node>,
    tls: Option<flame_tls::Client>,
}

/// A node of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    tls: bool,
    /// `host:port`.
    authority: String,
}

impl Node {
    /// Reads `grpc://host:port`; `grpcs` and `grpc+tls` are encrypted.
    fn parse(text: &str) -> Result<Self, FlameError> {
        let wrong = |why: &str| {
            FlameError::InvalidArgument(format!("cache endpoint {text:?} {why}; write it like grpc://host:{PORT}"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let tls = match scheme {
            "grpc" => false,
            "grpcs" | "grpc+tls" => true,
            _ => return Err(wrong("is neither grpc nor grpcs")),
        };
        let rest = rest.trim_end_matches('/');
        let authority: http::uri::Authority = rest.parse().map_err(|_| wrong("has no host"))?;
        if authority.host().is_empty() || rest.contains('@') {
            return Err(wrong("has no host, or more than a host and a port"));
        }
        let has_port = rest.rsplit(']').next().unwrap_or_default().contains(':');
        match authority.port_u16() {
            Some(_) => Ok(Self { tls, authority: rest.to_owned() }),
            None if has_port => Err(wrong("has no number for a port")),
            None => Ok(Self { tls, authority: format!("{rest}:{PORT}") }),
        }
    }

    /// The URL of an object, as workers read it.
    fn url(&self, key: &str) -> String {
        format!("{}://{}/{key}", if self.tls { "grpcs" } else { "grpc" }, self.authority)
    }
}

impl PackageStore {
    /// The cache that `given`, the file `config` or the environment names.
    ///
    /// ```
    /// use flame_sdk::endpoints::Environment;
    /// use flame_sdk::packages::PackageStore;
    ///
    /// let environment = Environment { cache_endpoint: Some("grpc://a,grpc://b:1".to_owned()), ..Environment::default() };
    /// let store = PackageStore::discover(None, None, &environment, &Default::default())?;
    /// assert_eq!(store.url("app/pkg/app.tar.gz"), "grpc://a:9090/app/pkg/app.tar.gz");
    /// # Ok::<(), flame_sdk::FlameError>(())
    /// ```
    ///
    /// # Errors
    /// [`FlameError::InvalidArgument`] says which text or file is wrong, or that nothing names a cache.
    pub fn discover(
        given: Option<&str>,
        config: Option<&Path>,
        environment: &Environment,
        tls: &TlsFiles,
    ) -> Result<Self, FlameError> {
        let home = environment.home.as_ref().map(|home| home.join(".flame/flame.yaml")).filter(|path| path.is_file());
        let mut ca = None;
        let mut of_file = |path: &Path| -> Result<Option<String>, FlameError> {
            let Some(cache) = cache_of(path)? else { return Ok(None) };
            ca = cache.tls.and_then(|tls| tls.ca_file);
            Ok(cache.endpoint)
        };
        let text = match (given, config) {
            (Some(given), _) => Some(given.to_owned()),
            (None, Some(config)) => of_file(config)?,
            (None, None) => match (&environment.cache_endpoint, &home) {
                (Some(endpoint), _) => Some(endpoint.clone()),
                (None, Some(path)) => of_file(path)?,
                (None, None) => None,
            },
        };
        let text = text.ok_or_else(|| {
            FlameError::InvalidArgument(format!(
                "no object cache is named, and packages are put there; set cache.endpoint in flame.yaml or \
                 {CACHE_ENDPOINT_VARIABLE}, like grpc://host:{PORT}"
            ))
        })?;
        let nodes: Vec<Node> = text.split(',').map(|item| Node::parse(item.trim())).collect::<Result<_, _>>()?;
        let files = tls.clone().named(|which| which.pick(["--ca-file", "--cert-file", "--key-file"]).to_owned());
        let of_file = TlsFiles { ca_file: ca, ..TlsFiles::default() }.named(|_| "cache.tls.ca_file".to_owned());
        let variables = [CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE];
        let by_environment = environment.tls.clone().named(|which| which.pick(variables).to_owned());
        let tls = match nodes.iter().any(|node| node.tls) {
            true => {
                let loaded = files.or(of_file).or(by_environment).load();
                Some(loaded.map_err(|refusal| FlameError::InvalidArgument(refusal.to_string()))?)
            }
            false => None,
        };
        Ok(Self { nodes, tls })
    }

    /// Where workers find a package of this key.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        self.nodes.first().map(|node| node.url(key)).unwrap_or_default()
    }

    /// Puts a package of `size` bytes, and answers its URL at the node that has taken it. Under a key that carries the
    /// checksum of the content, what is there already is not written again.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), flame_sdk::FlameError> {
    /// use flame_sdk::endpoints::Environment;
    /// use flame_sdk::packages::PackageStore;
    ///
    /// let store = PackageStore::discover(None, None, &Environment::of_process(), &Default::default())?;
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
        for node in &self.nodes {
            let content = open().await.map_err(|error| FlameError::Internal(format!("cannot read: {error}")))?;
            match self.put_at(node, key, size, content).await {
                Err(FlameError::Unavailable(why)) => silent.push(format!("{}: {why}", node.authority)),
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
        for node in &self.nodes {
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
        let endpoint = Endpoint::from_shared(format!("http://{}", node.authority));
        let endpoint = endpoint.map_err(|error| FlameError::InvalidArgument(error.to_string()))?;
        let tls = self.tls.as_ref().filter(|_| node.tls);
        let channel = flame_tls::client::channel(endpoint.connect_timeout(CONNECT_MAX), tls);
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

/// What a `flame.yaml` says about the cache in its current context.
fn cache_of(path: &Path) -> Result<Option<Cache>, FlameError> {
    let file: File = serde_saphyr::from_str(&read_file(path)?).map_err(|error| wrong(path, error))?;
    Ok(file.contexts.into_iter().find(|context| context.name == file.current_context).and_then(|context| context.cache))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "current-context")]
    current_context: String,
    contexts: Vec<Context>,
}

#[derive(Deserialize)]
struct Context {
    name: String,
    cache: Option<Cache>,
}

#[derive(Deserialize)]
struct Cache {
    endpoint: Option<String>,
    tls: Option<Tls>,
}

#[derive(Deserialize)]
struct Tls {
    ca_file: Option<std::path::PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_published_clients_write_them() {
        let url = |text: &str| Node::parse(text).map(|node| node.url("k"));
        assert_eq!(url("grpc://a").unwrap(), "grpc://a:9090/k");
        assert_eq!(url("grpcs://a:1/").unwrap(), "grpcs://a:1/k");
        assert_eq!(url("grpc+tls://[::1]:2").unwrap(), "grpcs://[::1]:2/k");
        for text in ["a:1", "http://a:1", "grpc://", "grpc://a:b", "grpc://u@a:1"] {
            assert!(url(text).unwrap_err().to_string().contains("write it like grpc://host:9090"), "{text}");
        }
    }

    #[test]
    fn the_nearest_source_names_the_cache() {
        let home = tempfile::tempdir().unwrap();
        let mut environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        let url = |given: Option<&str>, config: Option<&Path>, environment: &Environment| {
            let store = PackageStore::discover(given, config, environment, &TlsFiles::default());
            store.map(|store| store.url("k"))
        };
        let error = url(None, None, &environment).unwrap_err().to_string();
        assert!(error.contains("set cache.endpoint in flame.yaml or FLAME_CACHE_ENDPOINT"), "{error}");
        let file = home.path().join(".flame/flame.yaml");
        std::fs::create_dir(home.path().join(".flame")).unwrap();
        let text = "current-context: b\ncontexts:\n- { name: a }\n- { name: b, cache: { endpoint: 'grpc://file' } }\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(url(None, None, &environment).unwrap(), "grpc://file:9090/k");
        environment.cache_endpoint = Some("grpc://variable, grpc://other".to_owned());
        assert_eq!(url(None, None, &environment).unwrap(), "grpc://variable:9090/k");
        assert_eq!(url(None, Some(&file), &environment).unwrap(), "grpc://file:9090/k");
        assert_eq!(url(Some("grpc://given"), Some(&file), &environment).unwrap(), "grpc://given:9090/k");
    }
}
