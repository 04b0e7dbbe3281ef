//! The `coordinator:` section: who this node is, who its peers are, where it listens and keeps its data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use flame_types::resources::parse_memory;
use flame_types::{CoordinatorId, Retention, RetryLimits};

use crate::address::HostPort;
use crate::cluster::ClusterSection;
use crate::error::ConfigError;
use crate::layers::{Layers, Setting};
use crate::log::LogSection;
use crate::objects::ObjectsSection;
use crate::retry::AvoidanceSection;

/// Sizes a cluster may have: odd, since an even one survives no more failures than the odd one below it.
const MEMBER_COUNTS: [usize; 3] = [1, 3, 5];

/// Most addresses at which a node asks to be added.
const JOIN_MAX: usize = 16;

/// How a member is written on the command line and in the environment.
const MEMBER_GRAMMAR: &str = "write a member like id=1,client=host:8080,worker=host:8081,peer=host:8082";

/// How fast a lost leader is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Heartbeats every 200 ms, elections after 400 to 600 ms: safe on busy machines.
    #[default]
    Default,
    /// Heartbeats every 50 ms, elections after 150 to 300 ms.
    Fast,
}

/// Where a coordinator listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For clients.
    pub client: HostPort,
    /// For workers.
    pub worker: HostPort,
    /// For other coordinators.
    pub peer: HostPort,
    /// For those who watch it; `None` when nobody may.
    pub metrics: Option<HostPort>,
}

/// A coordinator of the cluster and where the others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which one.
    pub id: CoordinatorId,
    /// Its address for clients.
    pub client: HostPort,
    /// Its address for workers.
    pub worker: HostPort,
    /// Its address for other coordinators.
    pub peer: HostPort,
}

/// What a coordinator must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorSection {
    /// Which of `members` this node is.
    pub id: CoordinatorId,
    /// The cluster.
    pub cluster: ClusterSection,
    /// Folder of its log, state and identity.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// All coordinators, in the order of their ids; this node is one of them. Empty when it joins.
    pub members: Vec<Member>,
    /// Peer addresses of members of a running cluster, which this node waits to be added to.
    pub join: Vec<HostPort>,
    /// How fast a lost leader is replaced.
    pub profile: Profile,
    /// Bytes of memory to be shared out; `None`: the coordinator chooses by what the machine has.
    pub memory: Option<u64>,
    /// Bytes of free disk below which this node is short of it; `None`: a share of the file system.
    pub disk_floor: Option<u64>,
    /// How long its log gets, and what becomes of those who miss a part of it.
    pub log: LogSection,
    /// How long ended things are kept.
    pub retention: Retention,
    /// Most bytes of inputs, outputs and messages that all sessions keep together.
    pub kept_bytes_max: u64,
    /// How many copies cached objects get, and how much of them an application may have.
    pub objects: ObjectsSection,
    /// How often what is tried again.
    pub retry: RetryLimits,
    /// When a worker on which executors fail to start is avoided.
    pub avoidance: AvoidanceSection,
    /// Whether plaintext may leave this machine.
    pub insecure: bool,
}

impl CoordinatorSection {
    pub(crate) fn build(layers: &Layers, cluster: &ClusterSection) -> Result<Self, ConfigError> {
        let id = CoordinatorId(layers.get("coordinator.id").number(1)?);
        let mut members = members(layers.get("coordinator.members"))?;
        let join = join(layers.get("coordinator.join"), &members)?;
        let own = own_member(id, &members, layers)?;
        let listen = listen(layers, cluster, own)?;
        if members.is_empty() && join.is_empty() {
            let Listen { client, worker, peer, .. } = listen.clone();
            members.push(Member { id, client, worker, peer });
        }
        let (retention, kept_bytes_max) = crate::retention::build(layers, cluster)?;
        let section = Self {
            id,
            cluster: cluster.clone(),
            data_dir: layers.get("coordinator.data_dir").parse_set(folder)?,
            listen,
            members,
            join,
            profile: layers.get("coordinator.profile").parse_set(profile)?,
            memory: layers.get("coordinator.memory").parse(memory)?,
            disk_floor: layers.get("coordinator.disk_floor").parse(memory)?,
            log: crate::log::build(layers)?,
            retention,
            kept_bytes_max,
            objects: ObjectsSection::build(layers)?,
            retry: crate::retry::build(layers, cluster)?,
            avoidance: AvoidanceSection::build(layers)?,
            insecure: layers.get("coordinator.insecure").flag()?,
        };
        section.check_plaintext()?;
        Ok(section)
    }

    fn check_plaintext(&self) -> Result<(), ConfigError> {
        if self.insecure {
            return Ok(());
        }
        let Listen { client, worker, peer, metrics } = &self.listen;
        if let Some(address) = metrics.iter().find(|address| !address.is_loopback()) {
            return Err(ConfigError::Conflict(format!(
                "{address} lies beyond this machine and metrics are always plaintext. Set coordinator.insecure: true (or \
                 --insecure) on a trusted network, or use 127.0.0.1 for coordinator.listen.metrics"
            )));
        }
        if self.cluster.tls.serves() {
            return Ok(());
        }
        let reached = self.members.iter().flat_map(|member| [&member.client, &member.worker, &member.peer]);
        let all = [client, worker, peer].into_iter().chain(reached).chain(&self.join);
        match all.into_iter().find(|address| !address.is_loopback()) {
            None => Ok(()),
            Some(address) => Err(ConfigError::Conflict(format!(
                "{address} lies beyond this machine and traffic would be plaintext. Set cluster.tls.cert_file and its \
                 neighbours (docs/operate/tls.md), or coordinator.insecure: true (or --insecure) on a trusted network, or \
                 use 127.0.0.1"
            ))),
        }
    }
}

/// Where to ask to be added. Whoever joins a cluster must not be able to begin one.
fn join(setting: &Setting, members: &[Member]) -> Result<Vec<HostPort>, ConfigError> {
    let mut join: Vec<HostPort> = Vec::new();
    for text in setting.items.iter().flat_map(|item| item.split(',')) {
        let address = text.trim().parse::<HostPort>();
        let address = address.map_err(|why| setting.invalid(format!("has the address {text:?}, which {why}")))?;
        if !join.contains(&address) {
            join.push(address);
        }
    }
    if join.len() > JOIN_MAX {
        return Err(setting.invalid(format!("names {} addresses, at most {JOIN_MAX} are asked", join.len())));
    }
    if !join.is_empty() && !members.is_empty() {
        return Err(setting.invalid("is set beside coordinator.members: a node begins a cluster or joins one"));
    }
    Ok(join)
}

fn own_member<'a>(
    id: CoordinatorId,
    members: &'a [Member],
    layers: &Layers,
) -> Result<Option<&'a Member>, ConfigError> {
    let own = members.iter().find(|member| member.id == id);
    if own.is_none() && !members.is_empty() {
        let known: Vec<_> = members.iter().map(|member| member.id.to_string()).collect();
        let why = format!("is not among coordinator.members, which has {}", known.join(", "));
        return Err(layers.get("coordinator.id").invalid(why));
    }
    Ok(own)
}

/// Explicit addresses, else this node's own among the members, else loopback by the published ports.
fn listen(layers: &Layers, cluster: &ClusterSection, own: Option<&Member>) -> Result<Listen, ConfigError> {
    let address = |key: &'static str, own: Option<&HostPort>, ports_up: u16| {
        let given = layers.get(key).parse(|text| text.parse())?;
        if let Some(address) = given.or_else(|| own.cloned()) {
            return Ok(address);
        }
        let port = cluster.endpoint.address.port();
        HostPort::new("127.0.0.1", port).port_up(ports_up).ok_or_else(|| {
            let why = format!("leaves no port for {key}, which lies {ports_up} up; set {key} or a lower port");
            layers.get("cluster.endpoint").invalid(why)
        })
    };
    Ok(Listen {
        client: address("coordinator.listen.client", own.map(|member| &member.client), 0)?,
        worker: address("coordinator.listen.worker", own.map(|member| &member.worker), 1)?,
        peer: address("coordinator.listen.peer", own.map(|member| &member.peer), 2)?,
        metrics: layers.get("coordinator.listen.metrics").parse_set(address_or_off)?,
    })
}

fn members(setting: &Setting) -> Result<Vec<Member>, ConfigError> {
    let mut members = Vec::new();
    for item in &setting.items {
        members.push(member(item).map_err(|why| setting.invalid(format!("has a member that {why}")))?);
    }
    if !members.is_empty() && !MEMBER_COUNTS.contains(&members.len()) {
        return Err(setting.invalid(format!("has {} members; a cluster has 1, 3 or 5", members.len())));
    }
    members.sort_by_key(|member| member.id);
    if let Some(twice) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(setting.invalid(format!("names the id {} twice", twice[0].id)));
    }
    let mut addresses = BTreeSet::new();
    for address in members.iter().flat_map(|member| [&member.client, &member.worker, &member.peer]) {
        if !addresses.insert(address) {
            return Err(setting.invalid(format!("names the address {address} twice")));
        }
    }
    Ok(members)
}

/// Reads `id=1,client=…,worker=…,peer=…`, in any order.
fn member(item: &str) -> Result<Member, String> {
    let (mut id, mut client, mut worker, mut peer) = (None, None, None, None);
    for field in item.split(',') {
        let (name, text) = field.split_once('=').ok_or_else(|| format!("has {field:?}; {MEMBER_GRAMMAR}"))?;
        let address =
            || text.trim().parse::<HostPort>().map_err(|why| format!("has the {name} address {text:?}, which {why}"));
        let before = match name.trim() {
            "id" => id.replace(member_id(text)?).is_some(),
            "client" => client.replace(address()?).is_some(),
            "worker" => worker.replace(address()?).is_some(),
            "peer" => peer.replace(address()?).is_some(),
            other => return Err(format!("has the unknown key {other:?}; {MEMBER_GRAMMAR}")),
        };
        if before {
            return Err(format!("has {name:?} twice; {MEMBER_GRAMMAR}"));
        }
    }
    let missing = |name: &str| format!("has no {name}; {MEMBER_GRAMMAR}");
    Ok(Member {
        id: id.ok_or_else(|| missing("id"))?,
        client: client.ok_or_else(|| missing("client"))?,
        worker: worker.ok_or_else(|| missing("worker"))?,
        peer: peer.ok_or_else(|| missing("peer"))?,
    })
}

fn member_id(text: &str) -> Result<CoordinatorId, String> {
    match text.trim().parse() {
        Ok(number) if number >= 1 => Ok(CoordinatorId(number)),
        _ => Err(format!("has the id {text:?}; ids are whole numbers from 1")),
    }
}

pub(crate) fn address_or_off(text: &str) -> Result<Option<HostPort>, String> {
    match text {
        // A bare off in YAML is false.
        "off" | "false" => Ok(None),
        address => address.parse().map(Some),
    }
}

fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "default" => Ok(Profile::Default),
        "fast" => Ok(Profile::Fast),
        _ => Err("is not a profile; write default or fast".to_owned()),
    }
}

pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = parse_memory(text).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "is no amount of memory; write one like 512m or 2g".to_owned())
}

pub(crate) fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("names no folder".to_owned());
    }
    Ok(PathBuf::from(text))
}
