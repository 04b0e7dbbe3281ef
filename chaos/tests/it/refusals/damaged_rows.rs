//! Rows that turn out to be damaged only when somebody asks for them: the node ends and says how to get them back, and
//! what it says is true.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::{Cluster, wait_until};
use flame_types::TaskNo;

use super::data_dirs::{DAMAGED, MAKE_AGAIN, used_cluster};
use super::files::{READY, config, coordinator, data, files, flip, id, stop_all};
use crate::programs::LIMIT;

/// The sessions of [`used_cluster`] that have a task.
const SESSIONS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_reads_damage_ends_and_gets_its_rows_back() -> Result<()> {
    let mut cluster = used_cluster().await?;
    let outcome = steps(&mut cluster).await;
    outcome.with_context(|| cluster.tails())?;
    cluster.shutdown().await
}

async fn steps(cluster: &mut Cluster) -> Result<()> {
    stop_all(cluster).await?;
    let state = data(cluster, 1).join("state");
    let tables = files_with_inputs(&state)?;
    ensure!(!tables.is_empty(), "no table holds the inputs of tasks");
    for table in &tables {
        flip(table)?;
    }
    for other in [2, 3] {
        cluster.start_coordinator(id(other)).await?;
    }
    let mut first = coordinator(&config(cluster, 1), &data(cluster, 1), &[])?;
    first.says(READY).await?;
    let damaged = wait_until(LIMIT, "the first reads damage", || async {
        // Before it takes part it answers that it does not.
        ensure!(cluster.opinion(id(1)).await?.0.is_some(), "it knows no leader");
        Ok(read_all(cluster).await)
    })
    .await?;
    ensure!(damaged.is_err(), "what is damaged was given out");
    let why = format!("flame-coordinator: the state rows in {}", state.display());
    first.ended().await?.complained(DAMAGED, &[&why, " are damaged: ", MAKE_AGAIN])?;

    // So this is what it said.
    std::fs::remove_dir_all(&state)?;
    cluster.start_coordinator(id(1)).await?;
    wait_until(LIMIT, "all rows are back", || read_all(cluster)).await
}

/// Reads every task through the first coordinator.
async fn read_all(cluster: &Cluster) -> Result<()> {
    let client = Connection::open(Endpoints::parse(&[cluster.endpoint(id(1))])?, Options::default())?;
    for number in 0..SESSIONS {
        let task = client.get_task(&format!("kept-{number}"), TaskNo(1)).await?;
        ensure!(task.spec.input.as_deref() == Some(&[7; 2000][..]), "{task:?}");
    }
    Ok(())
}

/// Tables below the state in which the inputs of tasks can be seen.
fn files_with_inputs(state: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = files(state, ".sst")?;
    found.retain(|path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(2000).any(|window| window.iter().all(|byte| *byte == 7)))
    });
    Ok(found)
}
