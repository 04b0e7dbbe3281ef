//! All services of the client port.

use flame_proto::ha::backup_server::BackupServer;
use flame_proto::ha::cluster_server::ClusterServer;
use flame_proto::ha::membership_server::MembershipServer;
use flame_proto::ha::object_directory_server::ObjectDirectoryServer;
use flame_proto::ha::operate_server::OperateServer;
use flame_proto::v1::frontend_server::FrontendServer;
use flame_types::limits::MESSAGE_BYTES_MAX;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::backup::BackupService;
use super::cluster::ClusterService;
use super::directory::DirectoryService;
use super::frontend::FrontendService;
use super::health::HealthService;
use super::membership::MembershipService;
use super::operate::OperateService;
use super::stream::SessionsService;
use crate::drive::disk::DataDisk;
use crate::drive::gateway::Gateway;
use crate::drive::hub::Hub;
use crate::drive::upgrade::Upgrades;

/// The published service.
#[must_use]
pub fn frontend_server(gateway: Gateway) -> FrontendServer<FrontendService> {
    FrontendServer::new(FrontendService::new(gateway)).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// The object directory; cache nodes ask for it on the worker port.
#[must_use]
pub fn directory_server(gateway: Gateway) -> ObjectDirectoryServer<DirectoryService> {
    ObjectDirectoryServer::new(DirectoryService::new(gateway))
}

/// Everything the client port serves. `stop` ends the streams that would otherwise live for ever.
#[must_use]
pub fn routes(gateway: Gateway, hub: Hub, upgrades: Upgrades, disk: DataDisk, stop: CancellationToken) -> Routes {
    let cluster = ClusterService::new(gateway.clone(), hub.clone(), upgrades, disk);
    let health = HealthService::new(gateway.clone(), stop);
    let routes = Routes::new(frontend_server(gateway.clone()))
        .add_service(SessionsService::server(gateway.clone()))
        .add_service(BackupServer::new(BackupService::new(gateway.clone())))
        .add_service(OperateServer::new(OperateService::new(gateway.clone(), hub)))
        .add_service(directory_server(gateway.clone()))
        .add_service(MembershipServer::new(MembershipService::new(gateway)))
        .add_service(ClusterServer::new(cluster))
        .add_service(HealthServer::new(health));
    with_reflection(routes)
}

/// Both versions of server reflection: tools still ask for either.
fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(flame_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let built = "the descriptor sets are compiled in";
    routes.add_service(builder().build_v1().expect(built)).add_service(builder().build_v1alpha().expect(built))
}
