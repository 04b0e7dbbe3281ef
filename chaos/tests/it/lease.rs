//! A leader that dies and comes back at once must win an election before it leads.

use std::time::Duration;

use anyhow::{Result, ensure};
use flame_testkit::{Cluster, ClusterOptions, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// How often the restarted node is asked while nobody else can answer it.
const QUESTIONS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_killed_and_restarted_needs_an_election() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let before = cluster.leader().await?;
    let others: Vec<_> = cluster.coordinator_ids().into_iter().filter(|id| *id != before.id).collect();
    // The others are alive and hold their tongues: they can neither vote nor say that the lease is over.
    for id in &others {
        cluster.pause_coordinator(*id)?;
    }
    cluster.kill_coordinator(before.id).await?;
    cluster.start_coordinator(before.id).await?;
    for _ in 0..QUESTIONS {
        let (leader, term) = wait_until(LIMIT, "the restarted node answers", || cluster.opinion(before.id)).await?;
        ensure!(leader != Some(before.id), "it leads in term {term} without an election (it led in {})", before.term);
        ensure!(term >= before.term, "it has forgotten term {}: it is in {term}", before.term);
    }
    for id in &others {
        cluster.resume_coordinator(*id)?;
    }
    let after = cluster.leader().await?;
    ensure!(after.term > before.term, "{after:?} leads without an election after {before:?}");
    cluster.shutdown().await
}
