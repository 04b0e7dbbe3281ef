//! What a cache node is told, turned into frames.

use std::time::Duration;

use flame_machine::copies::Copying;
use flame_machine::effect::CacheOrder;
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame;
use flame_types::{Epoch, ObjectKey, ObjectVersion};
use tokio::sync::mpsc;

use super::attach::Down;
use super::{Hub, Told};
use crate::drive::hub::leases::{DETACHED_MAX, SILENT_MAX};

/// Sends orders as they come; ends only when the connection is closed.
/// `level`: the highest feature level that the node understands.
pub(super) async fn run(hub: &Hub, mut orders: mpsc::Receiver<Told>, down: &Down, level: u32) {
    while let Some(Told { epoch, orders, fetch }) = orders.recv().await {
        let mut frames: Vec<Frame> = orders.into_iter().map(|order| frame(hub, epoch, level, order)).collect();
        if !fetch.is_empty() {
            frames.push(Frame::Fetch(ha::FetchObjects { objects: fetch.into_iter().map(fetched).collect() }));
        }
        for frame in frames {
            if down.send(Ok(ha::CacheDown { frame: Some(frame) })).await.is_err() {
                return;
            }
        }
    }
}

fn frame(hub: &Hub, epoch: Epoch, level: u32, order: CacheOrder) -> Frame {
    match order {
        CacheOrder::Welcome { generation, full } => Frame::Welcome(ha::CacheWelcome {
            feature_level: hub.inner.consensus.level().with(level),
            cluster_id: hub.inner.cluster_id.clone(),
            epoch: epoch.0,
            endpoints: hub.worker_endpoints(),
            client_endpoints: hub.client_endpoints(),
            term: hub.term().unwrap_or_default().0,
            lease_ms: millis(SILENT_MAX),
            detached_lease_ms: millis(DETACHED_MAX),
            generation: generation.0,
            full: full.into_iter().map(|app| app.to_string()).collect(),
        }),
        CacheOrder::Drop { objects } => {
            Frame::Drop(ha::DropObjects { objects: objects.into_iter().map(version).collect() })
        }
        CacheOrder::Copied { key, version, copies } => {
            Frame::Copied(ha::ObjectCopied { key: key.to_string(), version: version.0, copies })
        }
        CacheOrder::Quota { app, full } => Frame::Quota(ha::ObjectQuota { application: app.to_string(), full }),
    }
}

fn version((key, version): (ObjectKey, ObjectVersion)) -> ha::ObjectVersion {
    ha::ObjectVersion { key: key.to_string(), version: version.0 }
}

fn fetched(copying: Copying) -> ha::FetchOrder {
    let Copying { key, version, size, from, .. } = copying;
    ha::FetchOrder { key: key.to_string(), version: version.0, size, from }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
