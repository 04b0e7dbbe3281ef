//! Clients, configuration, feature level, generation.

use flame_types::{
    CacheKey, ClientId, CoordinatorId, ExecutorKey, Generation, NodeName, Seq, SessionKey, Token, limits,
};

use super::batch::{Apply, Outcome};
use crate::cluster_event::ClusterEvent;
use crate::config::ClusterConfig;
use crate::level::Levels;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::{Client, ClientRow};

/// How far counters jump with a new generation: what the lost one gave out afterwards is never given out again.
const GENERATION_JUMP: u64 = 1 << 40;

impl Apply<'_> {
    pub(super) fn register_client(&mut self, nonce: u128, gateway: Option<CoordinatorId>) -> Outcome {
        if let Some(known) = self.state.nonces.get(&nonce) {
            return Ok(Reply::Client(*known));
        }
        let earlier = gateway.and_then(|gateway| self.state.gateways.get(&gateway).copied());
        let limit = limits::CLIENTS_MAX;
        if self.state.clients.len() >= limit && earlier.is_none() {
            return Err(Refusal::Limit { name: "clients".into(), limit: limit as u64 });
        }
        if let Some(earlier) = earlier {
            self.forget_client(earlier);
        }
        let id = self.state.cluster.next_client;
        self.state.cluster.next_client = id.next();
        self.changes.cluster = true;
        let row = ClientRow { id, nonce, gateway, last: Seq(0), below: Seq(1) };
        self.state.clients.insert(id, Client { row, window: Default::default() });
        self.state.nonces.insert(nonce, id);
        if let Some(gateway) = gateway {
            self.state.gateways.insert(gateway, id);
        }
        self.changes.clients.insert(id, None);
        Ok(Reply::Client(id))
    }

    pub(super) fn end_client(&mut self, client: ClientId) -> Outcome {
        self.forget_client(client);
        Ok(Reply::Done)
    }

    pub(super) fn expire_client(&mut self, id: ClientId, last: Seq) -> Outcome {
        let Some(client) = self.state.clients.get(&id) else { return Ok(Reply::Done) };
        if client.row.gateway.is_some() {
            return Err(Refusal::StalePlan(format!(
                "client {id} is a gateway's; it ends when its node registers again"
            )));
        }
        if client.row.last > last {
            return Err(Refusal::StalePlan(format!("client {id} has sent {} since", client.row.last)));
        }
        self.forget_client(id);
        Ok(Reply::Done)
    }

    pub(super) fn set_config(&mut self, config: ClusterConfig) -> Outcome {
        check_config(&config)?;
        if self.state.cluster.config == config {
            return Ok(Reply::Done);
        }
        let app_bytes_max = self.state.cluster.config.objects.app_bytes_max;
        self.state.cluster.config = config;
        self.quota_changed(app_bytes_max);
        self.changes.cluster = true;
        self.happened(ClusterEvent::ConfigChanged);
        let executors: Vec<ExecutorKey> = self.state.executors.keys().copied().collect();
        for key in executors {
            self.state.index_executor(key);
        }
        let (now, patience_ms) = (self.state.cluster.time, self.state.cluster.config.gang_patience_ms);
        let sessions: Vec<SessionKey> = self.state.sessions.keys().copied().collect();
        for key in sessions {
            self.state.renew_terms(key);
            let since = self.state.sessions[&key].row.gang_short_since;
            if since.is_some_and(|since| since.plus(patience_ms) <= now) {
                self.give_gang_back(key);
            }
            self.touch(key);
        }
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    pub(super) fn disk_short(&mut self, on: bool) -> Outcome {
        if self.state.cluster.disk_short != on {
            self.state.cluster.disk_short = on;
            self.changes.cluster = true;
        }
        Ok(Reply::Done)
    }

    /// Asked before anything is taken in that stays on disk.
    pub(super) fn check_disk(&self) -> Result<(), Refusal> {
        if self.state.cluster.disk_short { Err(Refusal::DiskShort) } else { Ok(()) }
    }

    /// The new level acts from the next entry, which every binary that is too old refuses to apply.
    pub(super) fn set_feature_level(&mut self, level: u32) -> Outcome {
        let present = self.state.cluster.level;
        if !self.alone {
            return Err(Refusal::FeatureLevel("it must be alone in its entry".into()));
        }
        if level <= present {
            return Err(Refusal::FeatureLevel(format!("{level} is not above the present level {present}")));
        }
        let own = Levels::OWN;
        assert!(own.understand(level), "the cluster goes to feature level {level}, this build understands {own}");
        self.state.cluster.level = level;
        self.changes.cluster = true;
        self.happened(ClusterEvent::LevelChanged { level });
        Ok(Reply::Done)
    }

    /// Only told of: a command, and a row, that builds of the first level do not know.
    #[cfg(feature = "next-level")]
    pub(super) fn test_only(&mut self, text: String) -> Outcome {
        self.happened(ClusterEvent::TestOnly { text });
        Ok(Reply::Done)
    }

    /// Whatever the lost generation may have given out beyond what was restored is never given out again.
    pub(super) fn new_generation(&mut self, nonce: u128) -> Outcome {
        if self.state.cluster.generation_nonce == nonce {
            return Ok(Reply::Done);
        }
        let nodes: Vec<NodeName> = self.state.nodes.keys().cloned().collect();
        for name in nodes {
            self.end_lease(&name, &format!("worker {name} was lost when the cluster was restored"));
        }
        let caches: Vec<CacheKey> = self.state.directory.caches.keys().copied().collect();
        for key in caches {
            self.end_cache_lease(key);
        }
        let clients: Vec<ClientId> = self.state.clients.keys().copied().collect();
        for client in clients {
            self.forget_client(client);
        }
        let cluster = &mut self.state.cluster;
        cluster.generation_nonce = nonce;
        cluster.generation = Generation(cluster.generation.0 + 1);
        cluster.next_token = Token(cluster.next_token.0 + GENERATION_JUMP);
        cluster.next_executor.0 += GENERATION_JUMP;
        cluster.next_client.0 += GENERATION_JUMP;
        cluster.next_session.0 += GENERATION_JUMP;
        cluster.next_epoch.0 += GENERATION_JUMP;
        let generation = cluster.generation;
        self.changes.cluster = true;
        self.happened(ClusterEvent::NewGeneration { generation });
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    fn forget_client(&mut self, id: ClientId) {
        let Some(client) = self.state.clients.remove(&id) else { return };
        self.state.nonces.remove(&client.row.nonce);
        if let Some(gateway) = client.row.gateway {
            self.state.gateways.remove(&gateway);
        }
        self.changes.client(id, &client);
        self.changes.forgotten.extend(client.window.keys().map(|first| (id, *first)));
    }
}

fn check_config(config: &ClusterConfig) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::InvalidSpec(format!("{what} must be at least 1")));
    if config.default_resources.is_zero() {
        return Err(Refusal::InvalidSpec("default_resources must ask for something".into()));
    }
    if let Err(why) = config.retention.check() {
        return Err(Refusal::InvalidSpec(why.to_string()));
    }
    if let Err(why) = config.retry.check() {
        return Err(Refusal::InvalidSpec(why.to_string()));
    }
    let copies = 1..=limits::OBJECT_COPIES_MAX;
    if !copies.contains(&config.objects.copies) || !copies.contains(&config.objects.session_copies) {
        let max = limits::OBJECT_COPIES_MAX;
        return Err(Refusal::InvalidSpec(format!("objects have 1 to {max} copies")));
    }
    match config {
        ClusterConfig { objects, .. } if objects.app_bytes_max == 0 => invalid("objects.app_bytes_max"),
        ClusterConfig { kept_bytes_max: 0, .. } => invalid("kept_bytes_max"),
        ClusterConfig { client_window_max: 0, .. } => invalid("client_window_max"),
        ClusterConfig { requests_max: 0, .. } => invalid("requests_max"),
        ClusterConfig { gang_patience_ms: 0, .. } => invalid("gang_patience_ms"),
        ClusterConfig { avoidance, .. } if avoidance.failures == 0 => invalid("avoidance.failures"),
        ClusterConfig { avoidance, .. } if avoidance.backoff_ms > avoidance.backoff_ms_max => {
            Err(Refusal::InvalidSpec("avoidance.backoff_ms must not be above avoidance.backoff_ms_max".into()))
        }
        _ => Ok(()),
    }
}
