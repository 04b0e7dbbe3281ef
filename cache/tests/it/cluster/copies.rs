//! What is left when a cache dies.

use anyhow::{Result, ensure};
use flame_proto::ha::RemoveCacheRequest;
use flame_proto::ha::object_directory_client::ObjectDirectoryClient;
use flame_testkit::wait_until;
use tonic::Code;

use super::scene::{LIMIT, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_outlives_a_cache_and_gets_its_copy_back() -> Result<()> {
    let mut scene = Scene::start(3).await?;
    let data = vec![7; 3 << 20];
    scene.client(0)?.put("a/shared/o", &data).await?;
    scene.client(0)?.put("a/pkg/p", b"package").await?;
    for at in 0..3 {
        ensure!(scene.client(at)?.get("a/shared/o").await? == (1, data.clone()), "any of them serves it");
    }
    let holders = scene.copies("a/shared/o", 2).await?;
    scene.copies("a/pkg/p", 2).await?;
    ensure!(holders[0] == "c1", "{holders:?}");
    scene.caches[0].kill().await?;
    for at in 1..3 {
        ensure!(scene.client(at)?.get("a/shared/o").await? == (1, data.clone()), "from the copy");
        ensure!(scene.client(at)?.get("a/pkg/p").await? == (1, b"package".to_vec()));
    }
    // Its lease ends, and the third one fetches a copy.
    ensure!(scene.held_by("a/shared/o", &["c2", "c3"]).await? == 1);
    scene.here(1, "a/shared/o", true).await?;
    scene.here(2, "a/shared/o", true).await?;
    ensure!(scene.client(1)?.nodes().await? == ["c2", "c3"]);
    // Who has the copy writes the next version.
    ensure!(scene.client(2)?.patch("a/shared/o", b"more").await? == 2);
    scene.held_by("a/shared/o", &["c2", "c3"]).await?;
    // What the first one has is out of date when it is back.
    scene.caches[0].start_again().await?;
    scene.caches[0].attached(&scene.cluster, true).await?;
    scene.here(0, "a/shared/o", false).await?;
    let (version, found) = scene.client(0)?.get("a/shared/o").await?;
    ensure!(version == 2 && found == [&data[..], b"more"].concat());
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_a_session_is_lost_until_its_cache_is_back() -> Result<()> {
    let mut scene = Scene::start(2).await?;
    scene.client(0)?.put("a/s/o", b"only here").await?;
    scene.held_by("a/s/o", &["c1"]).await?;
    ensure!(scene.client(1)?.get("a/s/o").await? == (1, b"only here".to_vec()));
    scene.caches[0].stop().await?;
    // It said goodbye: nobody waits for the end of its lease.
    scene.held_by("a/s/o", &[]).await?;
    let lost = scene.client(1)?.get("a/s/o").await.unwrap_err();
    ensure!(lost.code() == Code::NotFound && lost.message().contains("c1, which is gone"), "{lost:?}");
    let lost = scene.client(1)?.patch("a/s/o", b"more").await.unwrap_err();
    ensure!(lost.code() == Code::NotFound && lost.message().contains("c1, which is gone"), "{lost:?}");
    scene.caches[0].start_again().await?;
    scene.held_by("a/s/o", &["c1"]).await?;
    for at in 0..2 {
        ensure!(scene.client(at)?.get("a/s/o").await? == (1, b"only here".to_vec()));
    }
    // Written elsewhere while it is away, it is not overwritten by what comes back.
    scene.caches[0].stop().await?;
    scene.held_by("a/s/o", &[]).await?;
    ensure!(scene.client(1)?.put("a/s/o", b"new").await? == 2, "versions go on");
    scene.held_by("a/s/o", &["c2"]).await?;
    scene.caches[0].start_again().await?;
    scene.here(0, "a/s/o", false).await?;
    for at in 0..2 {
        ensure!(scene.client(at)?.get("a/s/o").await? == (2, b"new".to_vec()));
    }
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_lost_its_disk_says_so() -> Result<()> {
    let mut scene = Scene::start(2).await?;
    scene.client(0)?.put("a/s/o", b"x").await?;
    scene.client(0)?.put("a/shared/o", b"y").await?;
    scene.copies("a/shared/o", 2).await?;
    scene.caches[0].kill().await?;
    std::fs::remove_dir_all(scene.caches[0].objects())?;
    scene.caches[0].start_again().await?;
    scene.caches[0].attached(&scene.cluster, true).await?;
    scene.held_by("a/s/o", &[]).await?;
    let gone = scene.client(1)?.get("a/s/o").await.unwrap_err();
    ensure!(gone.code() == Code::NotFound && gone.message().contains("lost with the cache"), "{gone:?}");
    // The copy comes back from the other one.
    scene.held_by("a/shared/o", &["c1", "c2"]).await?;
    scene.here(0, "a/shared/o", true).await?;
    ensure!(scene.client(0)?.put("a/s/o", b"again").await? == 2);
    wait_until(LIMIT, "both read it", || async {
        for at in 0..2 {
            ensure!(scene.client(at)?.get("a/s/o").await? == (2, b"again".to_vec()));
        }
        Ok(())
    })
    .await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_does_not_come_back_can_be_removed() -> Result<()> {
    let mut scene = Scene::start(2).await?;
    scene.client(0)?.put("a/s/o", b"only here").await?;
    scene.held_by("a/s/o", &["c1"]).await?;
    let mut directory = ObjectDirectoryClient::connect(scene.cluster.endpoints()[0].clone()).await?;
    let mut remove = async |cache: &str| directory.remove(RemoveCacheRequest { cache: cache.to_owned() }).await;
    let refused = remove("c1").await.unwrap_err();
    ensure!(refused.code() == Code::FailedPrecondition && refused.message().contains("stop it first"), "{refused:?}");
    scene.caches[0].stop().await?;
    scene.held_by("a/s/o", &[]).await?;
    ensure!(remove("c1").await?.into_inner().left == 0);
    let unknown = remove("c1").await.unwrap_err();
    ensure!(unknown.code() == Code::NotFound, "{unknown:?}");
    let lost = scene.client(1)?.get("a/s/o").await.unwrap_err();
    ensure!(lost.code() == Code::NotFound && lost.message().contains("lost with the cache"), "{lost:?}");
    ensure!(scene.client(1)?.nodes().await? == ["c2"]);
    // Should it come back all the same, so does what it has.
    scene.caches[0].start_again().await?;
    scene.held_by("a/s/o", &["c1"]).await?;
    ensure!(scene.client(1)?.get("a/s/o").await? == (1, b"only here".to_vec()));
    scene.end().await
}
