//! The `worker:` section: its name, its coordinators, what it offers, where its files go and how long things may take.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use flame_types::{NodeName, Resources};

use crate::address::{Endpoint, HostPort};
use crate::cluster::{self, CLIENT_PORT, ClusterSection};
use crate::coordinator::{address_or_off, folder};
use crate::error::ConfigError;
use crate::layers::{Layers, Setting, Source};
use crate::packages::PackagesSection;
use crate::tls::TlsSection;

/// Most coordinators a worker is told about: more than any cluster has.
const COORDINATORS_MAX: usize = 16;

/// What a worker must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSection {
    /// The cluster.
    pub cluster: ClusterSection,
    /// Name of the only cluster it works for; when unset, the one that its coordinators are of.
    pub only_cluster: Option<String>,
    /// Its name; the host's when unset.
    pub name: Option<NodeName>,
    /// Worker endpoints of coordinators; any of them says who leads. At least one.
    pub coordinators: Vec<Endpoint>,
    /// What it offers; what the host has when unset.
    pub resources: Option<Resources>,
    /// Scratch folders of executors.
    pub work_dir: PathBuf,
    /// Unix sockets of services.
    pub socket_dir: PathBuf,
    /// What services print.
    pub log_dir: PathBuf,
    /// Longest time from starting a service until its socket answers.
    pub start_timeout: Duration,
    /// Longest time a service may take to enter a session.
    pub enter_timeout: Duration,
    /// Longest time a service may take to leave a session.
    pub leave_timeout: Duration,
    /// Time between SIGTERM and SIGKILL.
    pub terminate_grace: Duration,
    /// How long a cancelled task may go on before its service is killed.
    pub cancel_grace: Duration,
    /// How long running tasks may go on once the worker is told to stop.
    pub drain_timeout: Duration,
    /// Bytes of results that may wait to be recorded.
    pub results_bytes_max: usize,
    /// Ended executors whose log files are kept.
    pub logs_kept: usize,
    /// How packages of applications are fetched and installed.
    pub packages: PackagesSection,
    /// Where it serves metrics; `None` when nobody may look.
    pub metrics: Option<HostPort>,
    /// The certificate that it shows, and whom it trusts.
    pub tls: TlsSection,
    /// Where its proxy serves the published API to its services; `None` when they get the endpoint itself.
    pub proxy: Option<HostPort>,
    /// Client endpoints of coordinators, for the proxy; it hears of others. At least one.
    pub endpoints: Vec<Endpoint>,
}

impl WorkerSection {
    pub(crate) fn build(layers: &Layers, cluster: &ClusterSection) -> Result<Self, ConfigError> {
        let work_dir = layers.get("worker.work_dir").parse_set(folder)?;
        let log_dir = layers.get("worker.log_dir").parse(folder)?;
        Ok(Self {
            cluster: cluster.clone(),
            only_cluster: (layers.get("cluster.name").source != Source::Default).then(|| cluster.name.clone()),
            name: layers.get("worker.name").parse(|text| NodeName::parse(text).map_err(|why| format!("({why})")))?,
            coordinators: coordinators(layers, cluster)?,
            resources: layers.get("worker.resources").parse(cluster::resources)?,
            log_dir: log_dir.unwrap_or_else(|| work_dir.join("logs")),
            packages: PackagesSection::build(layers, &work_dir)?,
            work_dir,
            socket_dir: layers.get("worker.socket_dir").parse_set(folder)?,
            start_timeout: layers.get("worker.start_timeout").duration()?,
            enter_timeout: layers.get("worker.enter_timeout").duration()?,
            leave_timeout: layers.get("worker.leave_timeout").duration()?,
            terminate_grace: layers.get("worker.terminate_grace").duration()?,
            cancel_grace: layers.get("worker.cancel_grace").duration()?,
            drain_timeout: layers.get("worker.drain_timeout").duration()?,
            results_bytes_max: layers.get("worker.results_bytes_max").number(1)?,
            logs_kept: layers.get("worker.logs_kept").number(0)?,
            metrics: local_unless_insecure(layers, "worker.metrics", "metrics are always plaintext")?,
            tls: TlsSection::of_worker(layers, &cluster.tls)?,
            proxy: local_unless_insecure(layers, "worker.proxy", "whoever reaches it there acts as this worker")?,
            endpoints: endpoints(layers, cluster)?,
        })
    }
}

/// An address of this machine only, or of a network that is trusted.
fn local_unless_insecure(layers: &Layers, key: &'static str, danger: &str) -> Result<Option<HostPort>, ConfigError> {
    match layers.get(key).parse_set(address_or_off)? {
        Some(address) if !address.is_loopback() && !layers.get("worker.insecure").flag()? => {
            Err(ConfigError::Conflict(format!(
                "{key}: {address} lies beyond this machine, and {danger}. \
                 Set worker.insecure: true (or --insecure) on a trusted network, or use 127.0.0.1"
            )))
        }
        address => Ok(address),
    }
}

fn endpoints(layers: &Layers, cluster: &ClusterSection) -> Result<Vec<Endpoint>, ConfigError> {
    let setting = layers.get("worker.endpoints");
    let mut endpoints = endpoints_of(setting, Some(CLIENT_PORT))?;
    if endpoints.is_empty() {
        endpoints.push(cluster.endpoint.clone());
    }
    beyond_this_machine(layers, "the client endpoint", &endpoints[..setting.items.len()])?;
    Ok(endpoints)
}

fn coordinators(layers: &Layers, cluster: &ClusterSection) -> Result<Vec<Endpoint>, ConfigError> {
    let setting = layers.get("worker.coordinators");
    let mut endpoints = endpoints_of(setting, None)?;
    if endpoints.is_empty() {
        let address = cluster.endpoint.address.port_up(1).ok_or_else(|| {
            layers
                .get("cluster.endpoint")
                .invalid("leaves no port for workers, which lies one up; set worker.coordinators")
        })?;
        endpoints.push(Endpoint { tls: cluster.endpoint.tls, address });
    }
    beyond_this_machine(layers, "the coordinator", &endpoints)?;
    Ok(endpoints)
}

/// The items of a list of coordinators.
pub(crate) fn endpoints_of(setting: &Setting, usual_port: Option<u16>) -> Result<Vec<Endpoint>, ConfigError> {
    let mut endpoints = Vec::new();
    for text in &setting.items {
        let endpoint =
            Endpoint::parse(text, usual_port).map_err(|why| setting.invalid(format!("has an item that {why}")))?;
        endpoints.push(endpoint);
    }
    if endpoints.len() > COORDINATORS_MAX {
        return Err(setting.invalid(format!("has {} items, at most {COORDINATORS_MAX} are taken", endpoints.len())));
    }
    if endpoints.iter().collect::<BTreeSet<_>>().len() < endpoints.len() {
        return Err(setting.invalid("names a coordinator twice"));
    }
    Ok(endpoints)
}

fn beyond_this_machine(layers: &Layers, what: &str, endpoints: &[Endpoint]) -> Result<(), ConfigError> {
    match endpoints.iter().find(|endpoint| !endpoint.tls && !endpoint.address.is_loopback()) {
        Some(endpoint) if !layers.get("worker.insecure").flag()? => Err(ConfigError::Conflict(format!(
            "{what} {endpoint} lies beyond this machine and traffic would be plaintext. Write https:// \
             (docs/operate/tls.md), or set worker.insecure: true (or --insecure) on a trusted network"
        ))),
        _ => Ok(()),
    }
}
