//! The nodes of the object cache that a client knows: where they are, and the channels to them.
//!
//! Where they are: the endpoints that the program gives, else `cache.endpoint` (and `cache.endpoints`) of the configuration
//! file that it gives, else the variable `FLAME_CACHE_ENDPOINT` (several nodes with commas), else `~/.flame/flame.yaml`.
//!
//! **Invariant:** a node that is named `grpcs` is never spoken to in plaintext.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

use crate::endpoints::{CACHE_ENDPOINT_VARIABLE, Environment, read_file, wrong};
use crate::tls::{CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, NamedFiles, TlsFiles};
use crate::{Connection, FlameError};

/// Port of a cache that names none (published).
const PORT: u16 = 9090;

/// Longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How often a connection is asked whether it still stands, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How much may be under way without being read: objects are large.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// Most nodes that are kept in mind.
const NODES_MAX: usize = 64;

/// A node of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    tls: bool,
    /// `host:port`.
    authority: String,
}

impl Node {
    /// Reads `grpc://host:port`; `grpcs` and `grpc+tls` are encrypted.
    pub(crate) fn parse(text: &str) -> Result<Self, FlameError> {
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

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The URL of an object, as workers read it.
    pub(crate) fn url(&self, key: &str) -> String {
        format!("{}://{}/{key}", if self.tls { "grpcs" } else { "grpc" }, self.authority)
    }
}

/// The nodes, and what reaches them.
#[derive(Debug)]
pub(crate) struct CacheNodes {
    nodes: Mutex<Vec<Node>>,
    tls: Option<flame_tls::Client>,
    channels: Mutex<HashMap<Node, Channel>>,
}

impl CacheNodes {
    /// Those that `given`, the file `config` or the environment names; none when nothing does.
    pub(crate) fn discover(
        given: Option<&str>,
        config: Option<&Path>,
        environment: &Environment,
        tls: &TlsFiles,
    ) -> Result<Option<Self>, FlameError> {
        let home = environment.home.as_ref().map(|home| home.join(".flame/flame.yaml")).filter(|path| path.is_file());
        let (text, ca_file) = match (given, config, &environment.cache_endpoint) {
            (Some(given), _, _) => (Some(given.to_owned()), None),
            (None, None, Some(endpoints)) => (Some(endpoints.clone()), None),
            (None, config, _) => match config.or(home.as_deref()) {
                Some(path) => cache_of(path)?.unwrap_or_default().named(),
                None => (None, None),
            },
        };
        let Some(text) = text else { return Ok(None) };
        let mut nodes = Vec::new();
        for item in text.split(',') {
            let node = Node::parse(item.trim())?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let of_file = TlsFiles { ca_file, ..TlsFiles::default() }.named(|_| "cache.tls.ca_file".to_owned());
        Self::of(nodes, of_file, environment, tls).map(Some)
    }

    /// Those that the coordinators know and that are there; none when there are none. They are trusted as the coordinators
    /// are.
    pub(crate) async fn of_cluster(connection: &Connection) -> Result<Option<Self>, FlameError> {
        let known = connection.list_cache_nodes().await?;
        let present = known.iter().filter(|node| !node.away).map(|node| Node::parse(&node.endpoint));
        let nodes = present.collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Ok(None);
        }
        let (of_file, given) = (connection.endpoints().tls().clone(), &connection.options().tls);
        Self::of(nodes, of_file, &Environment::of_process(), given).map(Some)
    }

    fn of(
        nodes: Vec<Node>,
        of_file: NamedFiles,
        environment: &Environment,
        given: &TlsFiles,
    ) -> Result<Self, FlameError> {
        let given = given.clone().named(|which| which.pick(["--ca-file", "--cert-file", "--key-file"]).to_owned());
        let variables = [CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE];
        let by_environment = environment.tls.clone().named(|which| which.pick(variables).to_owned());
        let tls = match nodes.iter().any(|node| node.tls) {
            true => {
                let loaded = given.or(of_file).or(by_environment).load();
                Some(loaded.map_err(|refusal| FlameError::InvalidArgument(refusal.to_string()))?)
            }
            false => None,
        };
        Ok(Self { nodes: Mutex::new(nodes), tls, channels: Mutex::default() })
    }

    /// The error where nothing names a cache.
    pub(crate) fn none_named() -> FlameError {
        FlameError::InvalidArgument(format!(
            "no object cache is named, and the coordinators know none; set cache.endpoint in flame.yaml or \
             {CACHE_ENDPOINT_VARIABLE}, like grpc://host:{PORT}"
        ))
    }

    /// In the order in which they are turned to.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are nodes too, by the word of one of them. What is no endpoint, or would need certificates that this client
    /// does not have, is left out.
    pub(crate) fn learn<'a>(&self, endpoints: impl Iterator<Item = &'a str>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for node in endpoints.filter_map(|text| Node::parse(text).ok()) {
            if nodes.len() < NODES_MAX && self.can_reach(&node) && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
    }

    /// Whether this client has what encrypts the way to it, if that is asked for.
    pub(crate) fn can_reach(&self, node: &Node) -> bool {
        !node.tls || self.tls.is_some()
    }

    /// The channel to a node. It connects when it is used.
    pub(crate) fn channel(&self, node: &Node) -> Result<Channel, FlameError> {
        if !self.can_reach(node) {
            let why = "is encrypted, and this client was made for nodes that are not; name it with its certificates";
            return Err(FlameError::InvalidArgument(format!("cache node {} {why}", node.authority)));
        }
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(node) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", node.authority))
            .and_then(|endpoint| endpoint.user_agent(concat!("flame-sdk/", env!("CARGO_PKG_VERSION"))))
            .map_err(|error| FlameError::InvalidArgument(format!("cache node {}: {error}", node.authority)))?
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let channel = flame_tls::client::channel(endpoint, self.tls.as_ref().filter(|_| node.tls));
        channels.insert(node.clone(), channel.clone());
        Ok(channel)
    }
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

#[derive(Default, Deserialize)]
struct Cache {
    endpoint: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    tls: Option<Tls>,
}

#[derive(Deserialize)]
struct Tls {
    ca_file: Option<PathBuf>,
}

impl Cache {
    /// Its nodes with commas between, if it names any, and what they are checked by.
    fn named(self) -> (Option<String>, Option<PathBuf>) {
        let nodes: Vec<String> = self.endpoint.into_iter().chain(self.endpoints).collect();
        (Some(nodes.join(",")).filter(|text| !text.is_empty()), self.tls.and_then(|tls| tls.ca_file))
    }
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
        let names = |given: Option<&str>, config: Option<&Path>, environment: &Environment| {
            let nodes = CacheNodes::discover(given, config, environment, &TlsFiles::default()).unwrap();
            nodes.map(|nodes| nodes.nodes().into_iter().map(|node| node.authority).collect::<Vec<_>>())
        };
        let named = |expected: &[&str]| Some(expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(None, None, &environment), None);
        assert!(
            CacheNodes::none_named().to_string().contains("set cache.endpoint in flame.yaml or FLAME_CACHE_ENDPOINT")
        );
        let file = home.path().join(".flame/flame.yaml");
        std::fs::create_dir(home.path().join(".flame")).unwrap();
        let text = "current-context: b\ncontexts:\n- { name: a }\n\
                    - { name: b, cache: { endpoint: 'grpc://file', endpoints: ['grpc://file', 'grpc://more'] } }\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(names(None, None, &environment), named(&["file:9090", "more:9090"]));
        environment.cache_endpoint = Some("grpc://variable, grpc://other".to_owned());
        assert_eq!(names(None, None, &environment), named(&["variable:9090", "other:9090"]));
        assert_eq!(names(None, Some(&file), &environment), named(&["file:9090", "more:9090"]));
        assert_eq!(names(Some("grpc://given"), Some(&file), &environment), named(&["given:9090"]));
    }

    #[tokio::test]
    async fn what_is_heard_of_is_never_reached_in_plaintext_when_it_is_encrypted() {
        let nodes = CacheNodes::discover(Some("grpc://a"), None, &Environment::default(), &TlsFiles::default());
        let nodes = nodes.unwrap().unwrap();
        nodes.learn(["grpc://b", "grpcs://c", "nonsense", "grpc://a:9090"].into_iter());
        let known: Vec<_> = nodes.nodes().into_iter().map(|node| node.authority).collect();
        assert_eq!(known, ["a:9090", "b:9090"]);
        let secure = Node::parse("grpcs://c").unwrap();
        assert!(nodes.channel(&secure).unwrap_err().to_string().contains("with its certificates"));
    }
}
