//! A node of this process, as its clients and workers find it.

use flame_coordinator::api;
use flame_coordinator::listener::{self, Writes};
use flame_coordinator::node::Parts;
use flame_coordinator::tls::Manner;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Serves clients and workers on one port, and gives a way to it.
pub async fn serve(parts: &Parts) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (gateway, hub, upgrades) = (parts.gateway.clone(), parts.hub.clone(), parts.upgrades.clone());
    let routes = api::routes(gateway, hub, upgrades, parts.data_disk.clone(), stop.clone());
    let routes = routes.add_service(parts.hub.server());
    tokio::spawn(listener::serve(listener.into_std(), routes, Manner::Plain, Writes::Together, None, stop));
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}
