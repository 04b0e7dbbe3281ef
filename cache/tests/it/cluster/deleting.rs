//! A deletion reaches every copy.

use anyhow::{Result, ensure};
use flame_proto::v1;
use flame_proto::v1::frontend_client::FrontendClient;
use tonic::Code;

use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_reaches_every_copy_and_whoever_is_away() -> Result<()> {
    let mut scene = Scene::start(3).await?;
    for key in ["a/shared/1", "a/shared/2", "a/s/1", "b/shared/1"] {
        scene.client(0)?.put(key, b"x").await?;
    }
    for key in ["a/shared/1", "a/shared/2", "b/shared/1"] {
        scene.copies(key, 2).await?;
    }
    let holders = scene.copies("a/shared/1", 2).await?;
    let away = scene.at(&holders[1]);
    scene.caches[away].kill().await?;
    let asked = 3 - away;
    scene.client(asked)?.delete("a/shared/1").await?;
    scene.here(0, "a/shared/1", false).await?;
    for at in [0, asked] {
        let gone = scene.client(at)?.get("a/shared/1").await.unwrap_err();
        ensure!(gone.code() == Code::NotFound, "{gone:?}");
    }
    // Whoever was away hears of it when it is back.
    scene.caches[away].start_again().await?;
    scene.caches[away].attached(&scene.cluster, true).await?;
    scene.here(away, "a/shared/1", false).await?;
    ensure!(scene.cluster.object("a/shared/1").await?.is_none());
    // The rest of the application, wherever it is; what was put a moment ago, too.
    scene.client(0)?.put("a/t/fresh", b"x").await?;
    scene.client(0)?.delete("a/*").await?;
    for key in ["a/shared/2", "a/s/1", "a/t/fresh"] {
        for at in 0..3 {
            scene.here(at, key, false).await?;
            let gone = scene.client(at)?.get(key).await.unwrap_err();
            ensure!(gone.code() == Code::NotFound, "{gone:?}");
        }
        ensure!(scene.cluster.object(key).await?.is_none(), "{key}");
    }
    ensure!(scene.client(1)?.get("b/shared/1").await? == (1, b"x".to_vec()), "another application's stays");
    ensure!(scene.client(1)?.put("a/shared/1", b"new").await? == 1, "it begins anew");
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_session_go_with_it() -> Result<()> {
    let scene = Scene::start(2).await?;
    let mut frontend = FrontendClient::connect(scene.cluster.endpoints()[0].clone()).await?;
    let spec = v1::SessionSpec { application: "flmping".to_owned(), ..v1::SessionSpec::default() };
    let request = v1::CreateSessionRequest { session_id: "gone".to_owned(), session: Some(spec) };
    frontend.create_session(request).await?;
    scene.client(0)?.put("flmping/gone/1", b"x").await?;
    scene.client(1)?.put("flmping/gone/2", b"x").await?;
    scene.client(1)?.put("flmping/stays/1", b"x").await?;
    scene.held_by("flmping/gone/1", &["c1"]).await?;
    scene.held_by("flmping/gone/2", &["c2"]).await?;
    frontend.close_session(v1::CloseSessionRequest { session_id: "gone".to_owned() }).await?;
    frontend.delete_session(v1::DeleteSessionRequest { session_id: "gone".to_owned() }).await?;
    scene.here(0, "flmping/gone/1", false).await?;
    scene.here(1, "flmping/gone/2", false).await?;
    ensure!(scene.client(0)?.get("flmping/stays/1").await? == (1, b"x".to_vec()));
    scene.end().await
}
