//! Everything encrypted: clients of a cache, caches among each other, and caches with coordinators.

use anyhow::{Result, ensure};
use flame_proto::ha::ObjectNodesRequest;
use flame_proto::ha::objects_client::ObjectsClient;
use flame_testkit::ClusterOptions;
use tonic::transport::Endpoint;

use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn caches_with_certificates_serve_each_other_and_nobody_in_the_clear() -> Result<()> {
    let scene = Scene::with(2, ClusterOptions { tls: true, ..ClusterOptions::default() }).await?;
    ensure!(scene.caches[0].endpoint().starts_with("grpc+tls://"));
    let data = vec![3; 2 << 20];
    scene.client(0)?.put("a/shared/o", &data).await?;
    scene.client(0)?.put("a/s/o", b"of a session").await?;
    scene.held_by("a/shared/o", &["c1", "c2"]).await?;
    scene.here(1, "a/shared/o", true).await?;
    ensure!(scene.client(1)?.get("a/s/o").await? == (1, b"of a session".to_vec()));
    ensure!(scene.client(1)?.patch("a/s/o", b"!").await? == 2);
    let (_, address) = scene.caches[0].endpoint().split_once("://").unwrap_or_default();
    let plain = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let refused = ObjectsClient::new(plain).nodes(ObjectNodesRequest {}).await;
    ensure!(refused.is_err(), "it answers in the clear");
    scene.end().await
}
