//! The `cache:` section: where an object cache listens, what others are told about it, and how much it keeps.

use std::path::PathBuf;

use flame_types::NodeName;

use crate::address::{Endpoint, HostPort};
use crate::cluster::ClusterSection;
use crate::coordinator::{address_or_off, memory};
use crate::error::ConfigError;
use crate::layers::{Layers, Source};
use crate::tls::TlsSection;
use crate::worker::endpoints_of;

/// Port of a cache endpoint that names none (published).
const CACHE_PORT: u16 = 9090;

/// How an endpoint of a cache is written: part of every message about one.
const ENDPOINT_GRAMMAR: &str = "write it like grpc://127.0.0.1:9090, or grpcs:// where the cache has a certificate";

/// What becomes of objects when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Those that nobody has used for longest leave memory; they stay on disk if there is one.
    #[default]
    LeastRecentlyUsed,
    /// Nothing leaves: what finds no room is refused.
    Never,
}

/// Where clients reach a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEndpoint {
    /// Whether traffic is encrypted.
    pub tls: bool,
    /// Where.
    pub address: HostPort,
}

impl CacheEndpoint {
    /// Reads `grpc://host:port`. `grpcs` and `grpc+tls` mean the same.
    ///
    /// # Errors
    /// A half sentence on what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("grpc", rest)) => (false, rest),
            Some(("grpcs" | "grpc+tls", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("has the scheme {scheme:?}; {ENDPOINT_GRAMMAR}")),
            None => return Err(format!("has no scheme; {ENDPOINT_GRAMMAR}")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let address =
            HostPort::parse_with(rest, Some(CACHE_PORT)).map_err(|why| format!("{why}; {ENDPOINT_GRAMMAR}"))?;
        Ok(Self { tls, address })
    }
}

/// As references to objects carry it: the spelling that every published client knows.
impl std::fmt::Display for CacheEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.tls { "grpc+tls" } else { "grpc" }, self.address)
    }
}

/// What an object cache must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSection {
    /// The cluster.
    pub cluster: ClusterSection,
    /// Name of the only cluster it is for; when unset, the one that its coordinators are of.
    pub only_cluster: Option<String>,
    /// Its name among the caches of the cluster; the host's when unset.
    pub name: Option<NodeName>,
    /// Where it listens.
    pub listen: HostPort,
    /// Where it is reached by clients and other caches; where it listens when unset.
    pub advertise: Option<CacheEndpoint>,
    /// Worker endpoints of coordinators. Empty: it is the only cache.
    pub coordinators: Vec<Endpoint>,
    /// Folder of its objects; `None`: it keeps them in memory only.
    pub storage: Option<PathBuf>,
    /// Bytes of objects in memory.
    pub memory: u64,
    /// Objects in memory.
    pub objects_max: u64,
    /// What becomes of objects when memory is full.
    pub eviction: Eviction,
    /// Bytes of objects on disk.
    pub disk_max: u64,
    /// Bytes of one object.
    pub object_max: u64,
    /// Bytes of memory that is shared with clients of its host; 0: none.
    pub arena: u64,
    /// Bytes of one application's objects, if that is limited.
    pub quota: Option<u64>,
    /// Where it serves metrics; `None` when nobody may look.
    pub metrics: Option<HostPort>,
    /// Its certificate, and whom it trusts.
    pub tls: TlsSection,
}

impl CacheSection {
    pub(crate) fn build(layers: &Layers, cluster: &ClusterSection) -> Result<Self, ConfigError> {
        // Several of them say nothing about this one.
        let alone = |text: &str| if text.contains(',') { Ok(None) } else { CacheEndpoint::parse(text).map(Some) };
        let endpoint = layers.get("cache.endpoint").parse(alone)?.flatten();
        let usual = endpoint.as_ref().map_or(CACHE_PORT, |endpoint| endpoint.address.port());
        let listen = layers.get("cache.listen").parse(str::parse)?;
        let section = Self {
            cluster: cluster.clone(),
            only_cluster: (layers.get("cluster.name").source != Source::Default).then(|| cluster.name.clone()),
            name: layers.get("cache.name").parse(|text| NodeName::parse(text).map_err(|why| format!("({why})")))?,
            listen: listen.unwrap_or_else(|| HostPort::new("127.0.0.1", usual)),
            advertise: layers.get("cache.advertise").parse(CacheEndpoint::parse)?.or(endpoint),
            coordinators: endpoints_of(layers.get("cache.endpoints"), None)?,
            storage: layers.get("cache.storage").parse_set(storage)?,
            memory: layers.get("cache.eviction.max_memory").parse_set(memory)?,
            objects_max: layers.get("cache.eviction.max_objects").number(1)?,
            eviction: layers.get("cache.eviction.policy").parse_set(eviction)?,
            disk_max: layers.get("cache.disk_max").parse_set(memory)?,
            object_max: layers.get("cache.object_max").parse_set(memory)?,
            arena: layers.get("cache.arena").parse_set(arena)?,
            quota: layers.get("cache.quota").parse(memory)?,
            metrics: layers.get("cache.metrics").parse_set(address_or_off)?,
            tls: TlsSection::of_cache(layers, &cluster.tls)?,
        };
        section.check(layers)?;
        Ok(section)
    }

    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let conflict = |text: String| Err(ConfigError::Conflict(text));
        if self.object_max > self.memory {
            return conflict(format!(
                "cache.object_max ({}) is more than cache.eviction.max_memory ({}): an object is in memory while it is \
                 written and read. Lower the one or raise the other",
                self.object_max, self.memory
            ));
        }
        if let Some(advertise) = &self.advertise
            && advertise.tls != self.tls.serves()
        {
            return conflict(format!(
                "clients are told to reach this cache at {advertise}, and cache.tls.cert_file is {}. Write grpcs:// and \
                 give a certificate, or do neither",
                if self.tls.serves() { "set" } else { "not set" }
            ));
        }
        if self.advertise.is_none() && matches!(self.listen.host(), "0.0.0.0" | "::") {
            return conflict(format!(
                "cache.listen is {}, which says on which addresses it listens and not where others reach it. Set \
                 cache.advertise to an address of this host",
                self.listen
            ));
        }
        let plain = [(!self.tls.serves()).then_some(&self.listen), self.metrics.as_ref()];
        let coordinators = self.coordinators.iter().filter(|endpoint| !endpoint.tls).map(|endpoint| &endpoint.address);
        let beyond = plain.into_iter().flatten().chain(coordinators).find(|address| !address.is_loopback());
        if let Some(address) = beyond
            && !layers.get("cache.insecure").flag()?
        {
            return conflict(format!(
                "{address} lies beyond this machine and traffic would be plaintext. Set cache.tls.cert_file and write \
                 https:// in cache.endpoints (docs/operate/tls.md), or cache.insecure: true (or --insecure) on a trusted network, or use 127.0.0.1"
            ));
        }
        Ok(())
    }
}

/// A folder, written as the published cache has it, or none.
fn storage(text: &str) -> Result<Option<PathBuf>, String> {
    let folder = text.strip_prefix("fs://").or_else(|| text.strip_prefix("file://")).unwrap_or(text);
    match folder {
        "none" => Ok(None),
        "" => Err("names no folder; write one, or none to keep objects in memory only".to_owned()),
        _ if folder.contains("://") => Err("is not a folder; write one like /var/lib/flame/cache, or none".to_owned()),
        _ => Ok(Some(PathBuf::from(folder))),
    }
}

/// An amount of memory, or nothing.
fn arena(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { memory(text) }
}

fn eviction(text: &str) -> Result<Eviction, String> {
    match text {
        "lru" => Ok(Eviction::LeastRecentlyUsed),
        "none" => Ok(Eviction::Never),
        _ => Err("is not a policy; write lru or none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_published_clients_write_them() {
        let shown = |text: &str| CacheEndpoint::parse(text).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("grpc://a:1").unwrap(), "grpc://a:1");
        assert_eq!(shown("grpc://a/").unwrap(), "grpc://a:9090");
        assert_eq!(shown("grpcs://a").unwrap(), "grpc+tls://a:9090");
        assert_eq!(shown("grpc+tls://[::1]:2").unwrap(), "grpc+tls://[::1]:2");
        for text in ["a:1", "http://a:1", "grpc://", "grpc://a:b"] {
            assert!(shown(text).unwrap_err().ends_with(ENDPOINT_GRAMMAR), "{text}");
        }
    }

    #[test]
    fn storage_is_a_folder_or_none() {
        assert_eq!(storage("none"), Ok(None));
        for text in ["/data", "fs:///data", "file:///data"] {
            assert_eq!(storage(text), Ok(Some(PathBuf::from("/data"))), "{text}");
        }
        assert!(storage("").is_err() && storage("s3://bucket").is_err());
    }
}
