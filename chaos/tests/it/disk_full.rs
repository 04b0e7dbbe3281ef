//! Disks that fill up: the cluster refuses to take more before a write fails, and one full disk stops one node only.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use flame_chaos::disks::Disks;
use flame_chaos::probe;
use flame_sdk::model::ApplicationSpec;
use flame_sdk::{Connection, Endpoints, FlameError, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;

const LIMIT: Duration = Duration::from_secs(60);

/// Large beside what a short test writes, small beside the disks.
const FLOOR: u64 = 256 << 20;

/// A node stops at a sixteenth of the floor.
const BOTTOM: u64 = FLOOR / 16;

const EXIT_DISK_FULL: i32 = 15;

const APPLICATION: &str = "disk-full";
const SESSION: &str = "disk-full";

struct Scene {
    cluster: Cluster,
    client: Connection,
    disks: Disks,
}

impl Scene {
    /// `None` where disks of their own cannot be made.
    async fn start() -> Result<Option<Self>> {
        if let Err(reason) = probe::power_cut() {
            eprintln!("SKIPPED, this machine cannot make disks for a test: {reason}");
            return Ok(None);
        }
        let disks = Disks::make(3)?;
        let environment = vec![("FLAME_COORDINATOR_DISK_FLOOR".to_owned(), FLOOR.to_string())];
        let options =
            ClusterOptions { workers: 0, data_dirs: disks.folders(), environment, ..ClusterOptions::default() };
        let cluster = Cluster::start(options).await?;
        let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
        let application = ApplicationSpec { command: Some("/bin/true".to_owned()), ..ApplicationSpec::default() };
        client.register_application(APPLICATION, application).await?;
        let session = SessionOptions { id: Some(SESSION.to_owned()), ..SessionOptions::new(APPLICATION) };
        client.create_session(&session).await?;
        Ok(Some(Self { cluster, client, disks }))
    }

    async fn submit(&self) -> Result<(), FlameError> {
        self.client.create_task(SESSION, Some(Bytes::from_static(b"x"))).await.map(drop)
    }

    async fn is_refused(&self) -> Result<()> {
        wait_until(LIMIT, "submits are refused", || async {
            match self.submit().await {
                Ok(()) => bail!("it was taken"),
                Err(refused) => {
                    let text = refused.to_string();
                    ensure!(text.contains("short of disk"), "{text}");
                    Ok(())
                }
            }
        })
        .await
    }

    async fn is_taken(&self) -> Result<()> {
        wait_until(LIMIT, "submits are taken", || async { Ok(self.submit().await?) }).await
    }
}

async fn is_set_aside(reserve: &Path) -> Result<()> {
    wait_until(LIMIT, "some disk is set aside", || async {
        ensure!(reserve.exists(), "there is no reserve");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_more_is_taken_in_while_no_majority_has_room() -> Result<()> {
    let Some(scene) = Scene::start().await? else { return Ok(()) };
    scene.disks.fill(0, FLOOR / 2)?;
    scene.disks.fill(1, FLOOR / 2)?;
    scene.is_refused().await?;
    let other = SessionOptions { id: Some("other".to_owned()), ..SessionOptions::new(APPLICATION) };
    let refused = scene.client.create_session(&other).await.err().context("it was taken")?.to_string();
    ensure!(refused.contains("flmctl cluster status"), "{refused}");

    // The way out stays open.
    scene.client.close_session(SESSION).await?;
    scene.client.delete_session(SESSION).await?;
    scene.disks.empty(1)?;
    let again = SessionOptions { id: Some(SESSION.to_owned()), ..SessionOptions::new(APPLICATION) };
    wait_until(LIMIT, "sessions are made again", || async { Ok(scene.client.create_session(&again).await.map(drop)?) })
        .await?;
    scene.is_taken().await?;
    scene.cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_full_disk_stops_one_node_and_its_reserve_lets_it_start_again() -> Result<()> {
    let Some(mut scene) = Scene::start().await? else { return Ok(()) };
    let reserve = scene.disks.folders()[0].join("reserve");
    is_set_aside(&reserve).await?;
    scene.disks.fill(0, BOTTOM / 2)?;
    let victim = CoordinatorId(1);
    let code = wait_until(LIMIT, "the node with the full disk has stopped", || {
        let code = scene.cluster.exit_code(victim);
        async move { code.context("it runs") }
    })
    .await?;
    ensure!(code == EXIT_DISK_FULL, "it ended with {code}");
    scene.is_taken().await.with_context(|| scene.cluster.tails())?;

    // It has let go of what its log had taken in advance.
    scene.disks.fill(0, BOTTOM / 2)?;
    scene.cluster.start_coordinator(victim).await?;
    ensure!(!reserve.exists(), "the reserve is still there");
    scene.cluster.leader().await?;
    scene.disks.empty(0)?;
    is_set_aside(&reserve).await?;
    scene.is_taken().await?;
    scene.cluster.shutdown().await
}
