//! How clusters begin, and that they do not begin by mistake.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use super::files::{READY, changed, config, coordinator, id, line_of, stop_all};
use crate::programs::{LIMIT, Running, run};

const USAGE: i32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn one_three_and_five_coordinators_form_a_cluster() -> Result<()> {
    for coordinators in [1, 3, 5] {
        let cluster = Cluster::start(ClusterOptions { coordinators, workers: 0, ..ClusterOptions::default() }).await?;
        let leader = cluster.leader().await?;
        ensure!(leader.term.0 >= 1, "{leader:?}");
        for endpoint in cluster.endpoints() {
            let can_lose = (coordinators - 1) / 2;
            let status = wait_until(LIMIT, "all members serve", || async {
                let status = run("flmctl", &["cluster", "status", "-o", "json", "--endpoint", &endpoint]).await?;
                let status = status.with_code(0)?.json()?;
                ensure!(status["verdict"] == "healthy", "{status:#}");
                Ok(status)
            });
            let status = status.await?;
            assert_eq!(status["members"].as_array().map(Vec::len), Some(coordinators), "{status:#}");
            assert_eq!((&status["leader"], &status["can_lose"]), (&leader.id.0.into(), &can_lose.into()));
        }
        cluster.shutdown().await?;
    }
    Ok(())
}

/// The ports and configurations of a cluster that was stopped, and new data directories.
struct Ground {
    cluster: Cluster,
    scratch: TempDir,
}

impl Ground {
    async fn prepare() -> Result<Self> {
        let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
        stop_all(&mut cluster).await?;
        Ok(Self { cluster, scratch: tempfile::tempdir()? })
    }

    fn config(&self, number: u64) -> PathBuf {
        config(&self.cluster, number)
    }

    /// A coordinator on a data directory of this name.
    fn start(&self, config: &Path, data: &str) -> Result<Running> {
        coordinator(config, &self.scratch.path().join(data), &[])
    }

    /// Nobody leads, and no election has ever been: the term is 0.
    async fn nothing_formed(&self, number: u64) -> Result<()> {
        let (leader, term) = self.cluster.opinion(id(number)).await?;
        ensure!(leader.is_none() && term.0 == 0, "coordinator {number} has {leader:?} in term {term}");
        let endpoint = self.cluster.endpoint(id(number));
        let list = run("flmctl", &["list", "-s", "--timeout", "300ms", "--endpoint", &endpoint]).await?;
        list.refused(5, &[]).map(drop)
    }

    /// All three agree on a leader.
    async fn formed(&self) -> Result<()> {
        wait_until(LIMIT, "the cluster is formed", || async {
            let endpoint = self.cluster.endpoint(id(1));
            let status = run("flmctl", &["cluster", "status", "-o", "json", "--endpoint", &endpoint]).await?;
            let status: Value = status.with_code(0)?.json()?;
            ensure!(status["verdict"] == "healthy" && status["can_lose"] == 1, "{status:#}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_among_the_members_forms_nothing() -> Result<()> {
    let ground = Ground::prepare().await?;
    another_cluster(&ground).await.context("a node of another cluster")?;
    other_members(&ground).await.context("lists that differ")?;
    alone(&ground).await.context("a node that lists itself only")
}

/// One of the three was given the name of another cluster. Once it is mended, the cluster forms.
async fn another_cluster(ground: &Ground) -> Result<()> {
    let three = ground.config(3);
    let other = changed(&three, "other-name.yaml", &line_of(&three, "  name: ")?, "  name: other")?;
    let mut stranger = ground.start(&other, "stranger")?;
    stranger.says(READY).await?;
    let mut second = ground.start(&ground.config(2), "a2")?;
    second.says(READY).await?;
    let first = ground.start(&ground.config(1), "a1")?.ended().await?.with_code(USAGE)?;
    let words = "coordinator 3 refused: this coordinator belongs to cluster \"other\", not to \"test-";
    ensure!(first.stderr.contains(words), "{}", first.story());
    ground.nothing_formed(2).await?;
    ground.nothing_formed(3).await?;
    stranger.kill().await?;
    let third = ground.start(&three, "a3")?;
    let first = ground.start(&ground.config(1), "a1")?;
    ground.formed().await?;
    end([first, second, third]).await
}

/// The second lists the third under another address: a different cluster, should either have its way.
async fn other_members(ground: &Ground) -> Result<()> {
    let two = ground.config(2);
    let member = line_of(&two, "    - { id: 3")?;
    let peer = member.rsplit("peer: ").next().context("the member has no peer address")?;
    let elsewhere = changed(&two, "elsewhere.yaml", &format!("peer: {peer}"), "peer: 127.0.0.1:9 }")?;
    let mut second = ground.start(&elsewhere, "b2")?;
    second.says(READY).await?;
    let mut third = ground.start(&ground.config(3), "b3")?;
    third.says(READY).await?;
    let first = ground.start(&ground.config(1), "b1")?.ended().await?.with_code(USAGE)?;
    let words = "coordinator 2 lists other members than this one: give all of them the same list";
    ensure!(first.stderr.contains(words), "{}", first.story());
    ground.nothing_formed(2).await?;
    ground.nothing_formed(3).await?;
    end([second, third]).await
}

/// The first lists only itself and is a cluster of its own; the two that list it do not join it and form none.
async fn alone(ground: &Ground) -> Result<()> {
    let one = ground.config(1);
    let text = std::fs::read_to_string(&one)?;
    let others: Vec<_> = text
        .lines()
        .filter(|line| ["    - { id: 2", "    - { id: 3"].iter().any(|start| line.starts_with(start)))
        .collect();
    let alone = changed(&one, "alone.yaml", &format!("{}\n{}\n", others[0], others[1]), "")?;
    let mut second = ground.start(&ground.config(2), "c2")?;
    second.says(READY).await?;
    let mut third = ground.start(&ground.config(3), "c3")?;
    third.says(READY).await?;
    let first = ground.start(&alone, "c1")?;
    wait_until(LIMIT, "the first leads itself", || async {
        let (leader, _) = ground.cluster.opinion(id(1)).await?;
        ensure!(leader == Some(id(1)), "it takes {leader:?} for the leader");
        Ok(())
    })
    .await?;
    ground.nothing_formed(2).await?;
    ground.nothing_formed(3).await?;
    end([first, second, third]).await
}

/// Their ports are for the next ones.
async fn end(coordinators: impl IntoIterator<Item = Running>) -> Result<()> {
    for running in coordinators {
        running.kill().await?;
    }
    Ok(())
}
