//! Writing while leaders change, quotas run out, and others write the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use flame_testkit::{ClusterOptions, wait_until};
use tokio::task::JoinSet;
use tonic::Code;

use super::scene::{Client, LIMIT, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_leader_changes_amid_puts() -> Result<()> {
    const PUTS_AFTER: usize = 40;
    let mut scene = Scene::start(2).await?;
    let acknowledged = Arc::new(Mutex::new(BTreeMap::<String, (u64, Vec<u8>)>::new()));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for at in 0..4 {
        let mut client = scene.client(at % 2)?;
        let (acknowledged, is_over) = (acknowledged.clone(), is_over.clone());
        writers.spawn(async move {
            for step in 0_u32.. {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                // Of each key several versions; those of shared ones by way of both caches.
                let key = match step % 2 {
                    0 => format!("a/shared/{}", step / 2 % 20),
                    _ => format!("a/s/{at}-{}", step / 2 % 20),
                };
                let data = format!("{at}-{step}").into_bytes();
                match client.put(&key, &data).await {
                    Ok(version) => {
                        let mut all = acknowledged.lock().unwrap();
                        if all.get(&key).is_none_or(|(known, _)| *known < version) {
                            all.insert(key, (version, data));
                        }
                    }
                    Err(status) if status.code() == Code::Unavailable => {}
                    Err(status) => return Err(status),
                }
            }
            Ok(())
        });
    }
    let count = || acknowledged.lock().unwrap().values().map(|(version, _)| *version as usize).sum::<usize>();
    for _ in 0..2 {
        let before = count();
        wait_until(LIMIT, "puts go on", || async {
            ensure!(count() >= before + PUTS_AFTER, "{} puts", count());
            Ok(())
        })
        .await?;
        let leader = scene.cluster.leader().await?.id;
        scene.cluster.kill_coordinator(leader).await?;
        let before = count();
        wait_until(LIMIT, "puts go on without it", || async {
            ensure!(count() >= before + PUTS_AFTER, "{} puts", count());
            Ok(())
        })
        .await?;
        scene.cluster.start_coordinator(leader).await?;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(done) = writers.join_next().await {
        done??;
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    for at in 0..2 {
        let mut client = scene.client(at)?;
        for (key, (version, data)) in &acknowledged {
            let (found, bytes) = client.get(key).await.with_context(|| key.clone())?;
            ensure!(found >= *version, "{key}: version {found} after {version}");
            ensure!(found > *version || bytes == *data, "{key}: other bytes");
        }
    }
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_caches_that_change_one_object_agree_on_every_version() -> Result<()> {
    const STEPS: u64 = 50;
    let scene = Scene::start(2).await?;
    scene.client(0)?.put("a/shared/n", b"0").await?;
    let count = async |mut client: Client| -> Result<Vec<u64>> {
        let mut versions = Vec::new();
        while versions.len() < STEPS as usize {
            let (version, data) = client.get("a/shared/n").await?;
            let next = String::from_utf8(data)?.parse::<u64>()? + 1;
            match client.put_after("a/shared/n", version, next.to_string().as_bytes()).await {
                Ok(made) => versions.push(made),
                Err(status) if status.code() == Code::Aborted => {}
                Err(status) => return Err(status.into()),
            }
        }
        Ok(versions)
    };
    let (one, other) = tokio::try_join!(count(scene.client(0)?), count(scene.client(1)?))?;
    for versions in [&one, &other] {
        ensure!(versions.is_sorted_by(|left, right| left < right), "{versions:?}");
    }
    ensure!(one.iter().all(|version| !other.contains(version)), "a version was made twice");
    let (version, data) = scene.client(1)?.get("a/shared/n").await?;
    ensure!(version == 1 + 2 * STEPS && data == (2 * STEPS).to_string().into_bytes(), "{version}: {data:?}");
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_has_its_quota_and_no_more() -> Result<()> {
    let environment = vec![("FLAME_COORDINATOR_OBJECTS_APP_BYTES".to_owned(), "10k".to_owned())];
    let scene = Scene::with(2, ClusterOptions { environment, ..ClusterOptions::default() }).await?;
    let data = [7; 6 << 10];
    scene.client(0)?.put("a/shared/1", &data).await?;
    let over = scene.client(1)?.put("a/shared/2", &data).await.unwrap_err();
    ensure!(over.code() == Code::ResourceExhausted, "{over:?}");
    ensure!(scene.cluster.object("a/shared/2").await?.is_none(), "nothing of it is left");
    scene.client(1)?.put("b/shared/2", &data).await?;
    // An object of a session is taken before anybody has looked; from then on nothing is.
    scene.client(1)?.put("a/s/1", &data).await?;
    wait_until(LIMIT, "the caches know that the application is full", || async {
        for at in 0..2 {
            match scene.client(at)?.put("a/s/2", b"").await {
                Err(status) => ensure!(status.code() == Code::ResourceExhausted, "{status:?}"),
                Ok(_) => anyhow::bail!("cache {at} takes more"),
            }
        }
        Ok(())
    })
    .await?;
    scene.client(0)?.delete("a/s").await?;
    wait_until(LIMIT, "there is room again", || async {
        Ok(scene.client(1)?.put("a/shared/2", b"x").await.map(drop)?)
    })
    .await?;
    scene.end().await
}
