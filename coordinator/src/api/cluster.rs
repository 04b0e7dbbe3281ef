//! `flame.ha.v1.Cluster`: what operators and our own tools ask.

use std::path::Path;

use flame_clock::{Clock, Mono, SystemClock};
use flame_machine::command::Command;
use flame_machine::{Levels, digest, view};
use flame_proto::convert::parse_task_id;
use flame_proto::ha;
use flame_proto::ha::cluster_server::Cluster;
use flame_types::CoordinatorId;
use tonic::{Request, Response, Status};

use super::call::Call;
use super::errors::invalid;
use super::frontend::known_id;
use super::upgrade;
use crate::consensus::Role;
use crate::drive::disk::DataDisk;
use crate::drive::gateway::{Gateway, GatewayError};
use crate::drive::hub::Hub;
use crate::drive::upgrade::Upgrades;

/// The service of this node.
pub struct ClusterService {
    gateway: Gateway,
    hub: Hub,
    upgrades: Upgrades,
    disk: DataDisk,
    started: Mono,
}

impl ClusterService {
    /// A service that speaks for this node from now on.
    #[must_use]
    pub fn new(gateway: Gateway, hub: Hub, upgrades: Upgrades, disk: DataDisk) -> Self {
        Self { gateway, hub, upgrades, disk, started: SystemClock.mono() }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn members(&self, _: Request<ha::MembersRequest>) -> Answer<ha::MembersReply> {
        let view = self.gateway.membership();
        let members = view.members.into_iter().map(|member| ha::Member {
            id: member.id.0,
            client_endpoint: member.client,
            worker_endpoint: member.worker,
            peer_endpoint: member.peer,
            voter: member.voter,
        });
        Ok(Response::new(ha::MembersReply {
            cluster_id: view.cluster_id,
            members: members.collect(),
            leader: view.leader.map_or(0, |id| id.0),
            self_: view.self_id.0,
            term: view.term.0,
            changing: view.changing,
            next_request: self.gateway.next_request().0,
        }))
    }

    async fn member_status(&self, _: Request<ha::MemberStatusRequest>) -> Answer<ha::MemberStatusReply> {
        let look = |state: &flame_machine::State| (view::cluster(state), state.cluster().config.kept_bytes_max);
        let (cluster, kept_bytes_max) = self.gateway.with_state(look).await?;
        let status = self.gateway.raft_status();
        let ready = self.gateway.ready();
        let data_dir = self.disk.folder.clone();
        let disk = tokio::task::spawn_blocking(move || (disk_bytes(&data_dir), FileSystem::of(&data_dir))).await;
        let (disk_bytes, file_system) = disk.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(ha::MemberStatusReply {
            id: status.id.0,
            role: role_name(status.role).to_owned(),
            term: status.term.0,
            leader: status.leader.map_or(0, |id| id.0),
            last_log: status.last.0,
            committed: status.committed.0,
            applied: status.applied.0,
            version: crate::VERSION.to_owned(),
            feature_level: cluster.level,
            disk_bytes,
            uptime_seconds: SystemClock.mono().since(self.started).as_secs(),
            ready: ready.is_ok(),
            not_ready_reason: ready.err().unwrap_or_default(),
            cluster_time_ms: cluster.time.0,
            workers_attached: u32::try_from(self.hub.attached()).unwrap_or(u32::MAX),
            kept_tasks: cluster.kept_tasks,
            kept_bytes: cluster.open_kept_bytes,
            closed_sessions: cluster.closed_sessions,
            closed_bytes: cluster.closed_kept_bytes,
            kept_bytes_max,
            flushed: status.flushed.0,
            disk_free_bytes: file_system.map(|disk| disk.free_bytes),
            disk_total_bytes: file_system.map(|disk| disk.total_bytes),
            disk_floor_bytes: self.disk.floor,
            feature_level_min: Levels::OWN.lowest,
            feature_level_max: Levels::OWN.highest,
        }))
    }

    async fn state_digest(&self, _: Request<ha::StateDigestRequest>) -> Answer<ha::StateDigestReply> {
        let applied = self.gateway.applied_index();
        // The closure runs between two entries: index and state belong together.
        let look = move |state: &flame_machine::State| (*applied.borrow(), digest::digest(state));
        let (applied, digest) = self.gateway.with_state(look).await?;
        Ok(Response::new(ha::StateDigestReply { applied: applied.0, digest: format!("{digest:032x}") }))
    }

    async fn cancel_task(&self, request: Request<ha::CancelTaskRequest>) -> Answer<ha::CancelTaskReply> {
        let call = Call::of(request.metadata());
        let message = request.into_inner();
        let task = parse_task_id(&message.task_id).map_err(|error| invalid(&error))?;
        let session = known_id(&message.session_id)?;
        call.change(&self.gateway, Command::Cancel { session, task }).await?;
        Ok(Response::new(ha::CancelTaskReply {}))
    }

    async fn force_close_session(
        &self,
        request: Request<ha::ForceCloseSessionRequest>,
    ) -> Answer<ha::ForceCloseSessionReply> {
        let call = Call::of(request.metadata());
        let id = known_id(&request.into_inner().session_id)?;
        call.change(&self.gateway, Command::Close { id, force: true }).await?;
        Ok(Response::new(ha::ForceCloseSessionReply {}))
    }

    async fn transfer_leader(&self, request: Request<ha::TransferLeaderRequest>) -> Answer<ha::TransferLeaderReply> {
        let call = Call::of(request.metadata());
        let to = request.into_inner().to;
        let to = (to != 0).then_some(CoordinatorId(to));
        match self.gateway.transfer_leader(to, call.deadline).await {
            Ok(leader) => Ok(Response::new(ha::TransferLeaderReply { leader: leader.0 })),
            Err(GatewayError::NotReady(why)) => Err(Status::failed_precondition(why)),
            Err(error) => Err(error.into()),
        }
    }

    async fn upgrade(&self, request: Request<ha::UpgradeRequest>) -> Answer<ha::UpgradeReply> {
        let call = Call::of(request.metadata());
        upgrade::run(&self.upgrades, call, request.get_ref()).await.map(Response::new)
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Stopped => "stopped",
    }
}

/// The file system that holds a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileSystem {
    free_bytes: u64,
    total_bytes: u64,
}

impl FileSystem {
    /// `None` when the system does not say.
    fn of(folder: &Path) -> Option<Self> {
        let says = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(says.f_frsize);
        // What is free for everybody, not what root could still take.
        Some(Self { free_bytes: bytes(says.f_bavail), total_bytes: bytes(says.f_blocks) })
    }
}

/// Bytes of all files below a folder. Files that go away meanwhile are not counted.
fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => disk_bytes(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_a_folder_are_counted_once_each() {
        let folder = std::env::temp_dir().join(format!("flame-disk-bytes-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(folder.join("a"), [0; 10]).unwrap();
        std::fs::write(folder.join("inner/b"), [0; 32]).unwrap();
        assert_eq!(disk_bytes(&folder), 42);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(disk_bytes(&folder), 0);
    }

    #[test]
    fn a_file_system_says_what_is_free_of_it() {
        let disk = FileSystem::of(&std::env::temp_dir()).unwrap();
        assert!(disk.free_bytes <= disk.total_bytes && disk.total_bytes > 0, "{disk:?}");
        assert_eq!(FileSystem::of(Path::new("/nowhere/at/all")), None);
    }
}
