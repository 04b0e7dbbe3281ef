//! Nodes that come to a running cluster and do not belong to it: of another cluster, or with an empty disk under an old
//! id. Neither gets a vote; the cluster goes on without them. The one with the empty disk ends by itself.

use anyhow::{Context, Result, ensure};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use serde_json::Value;

use super::data_dirs::QUARANTINE;
use super::files::{READY, changed, config, coordinator, id, line_of};
use crate::programs::{LIMIT, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_cluster_takes_in_neither_strangers_nor_wiped_disks() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    // A follower which is not the lowest: it neither leads nor begins clusters.
    let leader = cluster.leader().await?.id;
    let away = [3, 2].into_iter().map(id).find(|other| *other != leader).context("there is no other")?;
    cluster.kill_coordinator(away).await?;
    let scratch = tempfile::tempdir()?;
    let own = config(&cluster, away.0);

    let other = changed(&own, "other-name.yaml", &line_of(&own, "  name: ")?, "  name: other")?;
    let mut stranger = coordinator(&other, &scratch.path().join("stranger"), &[])?;
    stranger.says(READY).await?;
    let row = kept_out(&cluster, away, "stranger").await.context("a node of another cluster")?;
    ensure!(row["error"].as_str().is_some_and(|why| why.contains("cluster \"other\"")), "{row:#}");
    stranger.kill().await?;

    let wiped = coordinator(&own, &scratch.path().join("wiped"), &[])?.ended().await?;
    // Any member may tell it: the log names the disk.
    let known = format!(" knows another store under the id of coordinator {away}: ");
    let remedy = "; start it with the disk it had, or let it join under a new id";
    wiped.complained(QUARANTINE, &[&known, remedy]).context("a node with an empty disk")?;
    kept_out(&cluster, away, "wiped").await.context("the cluster goes on without it")?;
    let log = cluster.folder().join(format!("c{leader}/coordinator-{leader}.log"));
    wait_until(LIMIT, "the leader's log says why", || async {
        let said = std::fs::read_to_string(&log)?;
        let why = format!("coordinator {away} has another store than before: its disk was wiped");
        let times = said.matches(&why).count();
        ensure!((1..=2).contains(&times), "it is to say so once for what it hears and once for what it asks:\n{said}");
        Ok(())
    })
    .await?;

    cluster.start_coordinator(away).await?;
    cluster.leader().await?;
    wait_until(LIMIT, "the rightful member is back", || async {
        let status = status(&cluster, away).await?;
        ensure!(status["verdict"] == "healthy", "{status:#}");
        Ok(())
    })
    .await?;
    cluster.shutdown().await
}

/// Writes go on; whoever sits at the address of the member that is away gets nothing of them, and nobody calls it well.
/// Gives its row of the status.
async fn kept_out(cluster: &Cluster, away: CoordinatorId, name: &str) -> Result<Value> {
    let others: Vec<_> = cluster.coordinator_ids().into_iter().filter(|other| *other != away).collect();
    let endpoints: Vec<_> = others.iter().map(|other| cluster.endpoint(*other)).collect();
    let client = Connection::open(Endpoints::parse(&endpoints)?, Options::default())?;
    for number in 0..10 {
        let id = Some(format!("{name}-{number}"));
        client.create_session(&SessionOptions { id, ..SessionOptions::new("flmping") }).await?;
    }
    let list = run("flmctl", &["list", "-s", "--timeout", "300ms", "--endpoint", &cluster.endpoint(away)]).await?;
    list.refused(5, &[])?;
    let status = status(cluster, others[0]).await?;
    assert_eq!((&status["verdict"], &status["can_lose"]), (&"degraded".into(), &0.into()), "{status:#}");
    let mut rows = status["members"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["member"]["id"] == away.0).cloned();
    row.with_context(|| format!("coordinator {away} is not in {status:#}"))
}

async fn status(cluster: &Cluster, asked: CoordinatorId) -> Result<Value> {
    let endpoint = cluster.endpoint(asked);
    run("flmctl", &["cluster", "status", "-o", "json", "--endpoint", &endpoint]).await?.with_code(0)?.json()
}
