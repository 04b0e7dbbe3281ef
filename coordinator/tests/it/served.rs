//! A node of this process, as its clients and workers find it.

use std::net::SocketAddr;
use std::path::Path;

use flame_coordinator::api;
use flame_coordinator::builtins::builtins;
use flame_coordinator::consensus::{Profile, SnapshotLimits};
use flame_coordinator::drive::leader::Defaults;
use flame_coordinator::listener::{self, Writes};
use flame_coordinator::memory::{MEMORY_MIN, Memory};
use flame_coordinator::node::{Listen, Options, Parts};
use flame_listen::encrypted::Manner;
use flame_machine::ClusterConfig;
use flame_storage::MemberNode;
use flame_types::CoordinatorId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// What a cluster of one needs, with its data in this folder.
pub fn alone(data_dir: &Path) -> Options {
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Options {
        id: CoordinatorId(1),
        cluster_id: "alone".into(),
        data_dir: data_dir.to_owned(),
        listen: Listen { client: nowhere, worker: nowhere, peer: nowhere, metrics: None },
        members: vec![(CoordinatorId(1), MemberNode::default())],
        join: Vec::new(),
        own: MemberNode::default(),
        disk_floor: Some(64 << 20),
        snapshots: SnapshotLimits::default(),
        behind_max: 100_000,
        profile: Profile::Fast,
        memory: Memory::new(Some(MEMORY_MIN)).unwrap(),
        defaults: Defaults { config: ClusterConfig::default(), builtins: builtins() },
        tls: None,
        sync: false,
    }
}

/// Serves clients and workers on one port, and gives a way to it.
pub async fn serve(parts: &Parts) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (gateway, hub, upgrades) = (parts.gateway.clone(), parts.hub.clone(), parts.upgrades.clone());
    let routes = api::routes(gateway, hub, upgrades, parts.data_disk.clone(), stop.clone());
    let routes = routes.add_service(parts.hub.server()).add_service(parts.hub.caches_server());
    tokio::spawn(listener::serve(listener.into_std(), routes, Manner::Plain, Writes::Together, None, stop));
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}
