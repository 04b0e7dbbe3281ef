//! The daemon itself: what it keeps over restarts, kills and damage, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::Cache;
use flame_testkit::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{connect, flight, get, patch, put, refused};

#[tokio::test]
async fn objects_outlive_a_restart() -> Result<()> {
    let mut cache = Cache::start(&[]).await?;
    let mut client = flight(connect(cache.endpoint()).await);
    put(&mut client, "a/shared/o", b"base").await?;
    patch(&mut client, "a/shared/o", b"patch").await?;
    put(&mut client, "a/s/o", b"of a session").await?;
    put(&mut client, "a/pkg/gone", b"x").await?;
    crate::support::delete(&mut client, "a/pkg").await?;
    cache.stop().await?;
    cache.start_again().await?;
    ensure!(cache.ready()["objects"] == 2, "{}", cache.ready());
    let mut client = flight(connect(cache.endpoint()).await);
    let rows = get(&mut client, "a/shared/o", 0).await?;
    ensure!(rows.len() == 2 && rows[1].2 == b"patch", "{rows:?}");
    ensure!(get(&mut client, "a/s/o", 0).await?[0].2 == b"of a session");
    refused(get(&mut client, "a/pkg/gone", 0).await, Code::NotFound, "not found");
    ensure!(put(&mut client, "a/shared/o", b"new").await?.version == 3, "versions go on");
    Ok(())
}

/// Writers put and patch durable objects until the process is killed; each remembers what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_writes_loses_nothing_that_was_acknowledged() -> Result<()> {
    const WRITERS: usize = 4;
    let mut cache = Cache::start(&[]).await?;
    for life in 0..3 {
        let (counted, mut count) = tokio::sync::watch::channel(0);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let mut client = flight(connect(cache.endpoint()).await);
            let counted = counted.clone();
            writers.spawn(async move {
                let key = format!("a/shared/{life}-{writer}");
                let mut acknowledged: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
                for step in 0_u32.. {
                    let data = vec![step as u8; 100_000];
                    let done = match step % 4 {
                        0 => put(&mut client, &key, &data).await,
                        _ => patch(&mut client, &key, &data).await,
                    };
                    let Ok(reference) = done else { break };
                    if step % 4 == 0 {
                        acknowledged.clear();
                    }
                    acknowledged.insert(reference.version, data);
                    counted.send_modify(|count| *count += 1);
                }
                (key, acknowledged)
            });
        }
        tokio::time::timeout(Duration::from_secs(60), count.wait_for(|count| *count > 60)).await??;
        cache.kill().await?;
        cache.start_again().await?;
        let mut client = flight(connect(cache.endpoint()).await);
        while let Some(done) = writers.join_next().await {
            let (key, acknowledged) = done?;
            let rows = get(&mut client, &key, 0).await.with_context(|| cache.tail())?;
            let kept: BTreeMap<u64, Vec<u8>> = rows.into_iter().map(|(version, _, data)| (version, data)).collect();
            let last = acknowledged.keys().last().copied().unwrap_or_default();
            let newest = kept.keys().last().copied().unwrap_or_default();
            // One more write may have been done and not acknowledged: a patch of what was there, or another base.
            ensure!(newest == last || newest == last + 1, "{key}: {newest} after {last}");
            let is_replaced = newest == last + 1 && kept.len() == 1;
            ensure!(is_replaced || acknowledged.iter().all(|(version, data)| kept.get(version) == Some(data)), "{key}");
        }
    }
    ensure!(cache.written("is damaged")? == 0, "{}", cache.tail());
    ensure!(std::fs::read_dir(cache.objects().join("new"))?.count() == 0, "a half file was left");
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said() -> Result<()> {
    let mut cache = Cache::start(&[]).await?;
    let mut client = flight(connect(cache.endpoint()).await);
    put(&mut client, "a/shared/o", b"some bytes").await?;
    cache.stop().await?;
    let mut files = Vec::new();
    for folder in std::fs::read_dir(cache.objects().join("objects"))? {
        for file in std::fs::read_dir(folder?.path())? {
            files.push(file?.path());
        }
    }
    let [file] = files.as_slice() else { anyhow::bail!("{files:?}") };
    let mut bytes = std::fs::read(file)?;
    *bytes.last_mut().context("it is not empty")? ^= 1;
    std::fs::write(file, bytes)?;
    cache.start_again().await?;
    let mut client = flight(connect(cache.endpoint()).await);
    refused(get(&mut client, "a/shared/o", 0).await, Code::NotFound, "a/shared/o not found");
    ensure!(cache.written("is damaged")? == 1, "{}", cache.tail());
    ensure!(std::fs::read_dir(cache.objects().join("damaged"))?.count() == 1);
    put(&mut client, "a/shared/o", b"again").await?;
    Ok(())
}

#[tokio::test]
async fn it_says_how_it_is() -> Result<()> {
    let cache = Cache::start(&[]).await?;
    let channel = connect(cache.endpoint()).await;
    let request = HealthCheckRequest { service: "readiness".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await?.into_inner();
    ensure!(health.status == 1, "serving");
    put(&mut flight(channel), "a/s/o", &[7; 1000]).await?;
    let address = cache.ready()["metrics"].as_str().context("it says where metrics are")?.to_owned();
    let page = wait_until(Duration::from_secs(10), "the page of metrics", || page(&address)).await?;
    for line in [
        "flame_cache_operations_total{operation=\"put\",outcome=\"done\"} 1",
        "flame_cache_in_bytes_total 1000",
        "flame_cache_memory_bytes 1000",
        "flame_cache_objects 1",
    ] {
        ensure!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    Ok(())
}

async fn page(address: &str) -> Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await?;
    let mut page = String::new();
    connection.read_to_string(&mut page).await?;
    Ok(page)
}
