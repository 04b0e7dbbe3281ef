//! The published `cluster:` and `cache:` sections, as far as they have an effect.

use flame_types::Resources;

use crate::address::Endpoint;
use crate::error::ConfigError;
use crate::layers::Layers;
use crate::tls::TlsSection;

/// Port of a client endpoint that names none (published).
pub(crate) const CLIENT_PORT: u16 = 8080;

/// Longest name of a cluster, in bytes.
const CLUSTER_NAME_BYTES_MAX: usize = 253;

/// What is true for the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSection {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub endpoint: Endpoint,
    /// Resources of one executor of a session that asks for none.
    pub default_resources: Resources,
    /// Closed sessions that stay visible.
    pub closed_sessions_max: u32,
    /// Failed starts of a service in a row after which its session gets no new executors, unless the session or its
    /// application says otherwise.
    pub bind_failures_max: u32,
    /// Where services find the object cache, if there is one.
    pub cache_endpoint: Option<String>,
    /// Certificates of coordinators, and whom they trust.
    pub tls: TlsSection,
}

impl ClusterSection {
    pub(crate) fn build(layers: &Layers) -> Result<Self, ConfigError> {
        refuse_what_is_not_served(layers)?;
        let endpoint = layers.get("cluster.endpoint");
        let parsed = endpoint.parse_set(|text| Endpoint::parse(text, Some(CLIENT_PORT)))?;
        Ok(Self {
            name: layers.get("cluster.name").parse_set(cluster_name)?,
            endpoint: parsed,
            default_resources: layers.get("cluster.resreq").parse_set(resources)?,
            closed_sessions_max: layers.get("cluster.limits.max_sessions").number(1)?,
            bind_failures_max: layers.get("cluster.recovery.session.retry_limits").number(1)?,
            cache_endpoint: layers.get("cache.endpoint").text()?.map(str::to_owned),
            tls: TlsSection::of_cluster(layers)?,
        })
    }
}

fn refuse_what_is_not_served(layers: &Layers) -> Result<(), ConfigError> {
    let shim = layers.get("cluster.executors.shim");
    match shim.text()? {
        None | Some("host" | "Host") => Ok(()),
        Some("wasm" | "Wasm") => Err(shim.refused("workers run services as host processes only; write host")),
        Some(_) => Err(shim.invalid("is not a way to run services; write host")),
    }
}

/// A set of resources that one executor could use: a text without amounts would start executors without end.
pub(crate) fn resources(text: &str) -> Result<Resources, String> {
    let resources: Resources = text.parse().map_err(|error| format!("cannot be read: {error}"))?;
    if resources.is_zero() {
        return Err("asks for nothing at all; write it like cpu=1,mem=2g".to_owned());
    }
    Ok(resources)
}

fn cluster_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > CLUSTER_NAME_BYTES_MAX || !text.chars().all(allowed) {
        return Err(format!(
            "is not a name of 1 to {CLUSTER_NAME_BYTES_MAX} letters, digits, '-', '_' and '.', for example flame"
        ));
    }
    Ok(text.to_owned())
}
