//! Clusters from backups and from what is left of them: the scenarios, small, and workers of the cluster before.

use anyhow::{Context, Result, ensure};
use flame_chaos::scenarios::report::Outcome;
use flame_chaos::scenarios::{backup_restore, recover};
use flame_sdk::SessionOptions;
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::{Cluster, ClusterOptions, wait_until};

use crate::programs::{LIMIT, Running, run};
use crate::refusals::files::{changed, config, line_of, stop_all};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_becomes_another_cluster() -> Result<()> {
    let report = backup_restore::run(backup_restore::Options { tasks: 400 }).await?;
    eprintln!("{report}");
    ensure!(report.outcome == Outcome::Passed, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_goes_on_alone_and_nothing_is_lost() -> Result<()> {
    let report = recover::run(recover::Options { survivor: recover::Survivor::Leader }).await?;
    eprintln!("{report}");
    ensure!(report.outcome == Outcome::Passed, "{report}");
    Ok(())
}

/// At the very addresses of the old cluster, which its workers know.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_old_cluster_is_refused_by_the_new_one() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { coordinators: 1, ..ClusterOptions::default() }).await?;
    let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    client.create_session(&SessionOptions { id: Some("kept".to_owned()), ..SessionOptions::new("flmping") }).await?;
    let file = cluster.folder().join("backup").display().to_string();
    let endpoint = cluster.endpoints().join(",");
    run("flmctl", &["cluster", "backup", &file, "--endpoint", &endpoint]).await?.with_code(0)?;
    stop_all(&mut cluster).await?;

    let (one, name) = (config(&cluster, 1), line_of(&config(&cluster, 1), "  name: ")?);
    let other = changed(&one, "restored.yaml", &name, "  name: restored")?.display().to_string();
    let data = cluster.folder().join("restored").display().to_string();
    let words = ["cluster", "restore", &file, "--coordinator-config", &other, "--data-dir", &data];
    let says = run("flmctl", &words).await?.with_code(0)?.stdout;
    ensure!(
        says.contains("Coordinator <1> of cluster <restored> was made from the backup of cluster <test-"),
        "{says}"
    );
    let restored = Running::start("flame-coordinator", &["--config", &other, "--data-dir", &data])?;

    wait_until(LIMIT, "the worker hears that this is another cluster", || async {
        let told = cluster.worker_written(0, "this is cluster \"restored\"")?;
        ensure!(told > 0, "{}", cluster.tails());
        Ok(())
    })
    .await?;
    let session = client.get_session("kept").await.context("the session of the backup")?;
    ensure!(session.metadata.id == "kept");
    let nodes = client.list_node_loads().await?;
    ensure!(nodes.iter().all(|node| !node.attached), "{nodes:?}");
    restored.kill().await
}
