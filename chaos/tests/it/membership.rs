//! Coordinators that come and go while tasks are submitted and run, as an operator makes them: with `flmctl`.

use anyhow::{Context, Result, ensure};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use serde_json::Value;

use crate::programs::{Ended, LIMIT, run};
use crate::scenes::{everything_is_there, in_full_swing};

/// A coordinator whose disk must not be believed.
const QUARANTINE: i32 = 13;

/// A coordinator that was removed.
const REMOVED: i32 = 16;

const CONFLICT: i32 = 6;

/// `flmctl` with these words, told of all members.
async fn flmctl(cluster: &Cluster, words: &[&str]) -> Result<Ended> {
    let endpoints = cluster.endpoints().join(",");
    run("flmctl", &[words, &["--endpoint", &endpoints]].concat()).await
}

/// The same for what must succeed; gives what it says.
async fn done(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let ended = flmctl(cluster, words).await?.with_code(0);
    Ok(ended.with_context(|| cluster.tails())?.stdout)
}

/// Starts a coordinator and makes it a voter.
async fn grow(cluster: &mut Cluster) -> Result<CoordinatorId> {
    let id = cluster.add_coordinator().await?;
    let (number, peer) = (id.to_string(), cluster.peer_address(id));
    let says = done(cluster, &["cluster", "add", &number, "--peer", &peer, "--promote"]).await?;
    ensure!(says == format!("Coordinator <{id}> votes.\n"), "{says}");
    cluster.set_member(id, true);
    Ok(id)
}

/// Removes a coordinator, which then ends by itself.
async fn shrink(cluster: &mut Cluster, id: CoordinatorId) -> Result<()> {
    let says = done(cluster, &["cluster", "remove", &id.to_string()]).await?;
    ensure!(says == format!("Coordinator <{id}> was removed.\n"), "{says}");
    cluster.set_member(id, false);
    ensure!(cluster.coordinator_ended(id).await? == REMOVED, "{}", cluster.tail(id));
    Ok(())
}

async fn voters(cluster: &Cluster) -> Result<Vec<u64>> {
    let members: Value = flmctl(cluster, &["cluster", "members", "-o", "json"]).await?.with_code(0)?.json()?;
    let listed = members["members"].as_array().with_context(|| format!("{members:#}"))?;
    Ok(listed.iter().filter(|member| member["voter"] == true).filter_map(|member| member["id"].as_u64()).collect())
}

/// Every coordinator says what it knows, and one that has just been started may know it a moment later.
async fn so_many_vote(cluster: &Cluster, count: usize) -> Result<()> {
    wait_until(LIMIT, "all know who votes", || async {
        let voters = voters(cluster).await?;
        ensure!(voters.len() == count, "{voters:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_become_five_and_three_again_under_load() -> Result<()> {
    let (mut run, submitting) = in_full_swing(ClusterOptions::default()).await?;
    let cluster = &mut run.cluster;
    let fourth = grow(cluster).await?;
    // The next one comes while somebody who led is away.
    let leader = cluster.leader().await?.id;
    cluster.kill_coordinator(leader).await?;
    let fifth = grow(cluster).await?;
    cluster.start_coordinator(leader).await?;
    so_many_vote(cluster, 5).await?;
    // A follower goes, and then whoever leads.
    let leads = cluster.leader().await?.id;
    let follower = cluster.coordinator_ids().into_iter().find(|id| *id != leads && *id != fourth && *id != fifth);
    shrink(cluster, follower.context("there are others")?).await?;
    let leads = cluster.leader().await?.id;
    shrink(cluster, leads).await?;
    cluster.leader().await?;
    so_many_vote(cluster, 3).await?;
    everything_is_there(run, submitting).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_coordinator_is_replaced_under_a_new_id() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let leader = cluster.leader().await?.id;
    // The first one would end for another reason: it begins clusters.
    let wiped = cluster.coordinator_ids().into_iter().filter(|id| *id != leader).max().context("a follower")?;
    cluster.kill_coordinator(wiped).await?;
    cluster.wipe_data(wiped)?;
    cluster.start_coordinator(wiped).await?;
    ensure!(cluster.coordinator_ended(wiped).await? == QUARANTINE, "{}", cluster.tail(wiped));

    // Whoever comes under a number that is taken is told so, and which one is free.
    let next = cluster.add_coordinator().await?;
    let (old, new, peer) = (wiped.to_string(), next.to_string(), cluster.peer_address(next));
    let taken = flmctl(&cluster, &["cluster", "add", &old, "--peer", &peer]).await?;
    taken.complained(CONFLICT, &["is a member already"])?;
    let replace = ["cluster", "replace", &old, &new, "--peer", &peer];
    for _ in 0..2 {
        let says = done(&cluster, &replace).await?;
        ensure!(says == format!("Coordinator <{new}> has replaced <{old}>.\n"), "done twice is done once: {says}");
    }
    cluster.set_member(wiped, false);
    cluster.set_member(next, true);
    cluster.leader().await?;
    wait_until(LIMIT, "all three serve", || async {
        let status = flmctl(&cluster, &["cluster", "status", "-o", "json"]).await?.with_code(0)?.json()?;
        ensure!(status["verdict"] == "healthy" && status["can_lose"] == 1, "{status:#}");
        Ok(())
    })
    .await?;
    let taken = flmctl(&cluster, &["cluster", "add", &old, "--peer", "127.0.0.1:1"]).await?;
    taken.complained(CONFLICT, &["ids are never given out again: 5 is free"])?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_disk_and_a_removed_one_are_refused() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let leader = cluster.leader().await?.id;
    let old = cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("a follower")?;
    cluster.stop_coordinator(old).await?;
    let copy = tempfile::tempdir()?;
    cluster.copy_data(old, copy.path())?;
    cluster.start_coordinator(old).await?;
    done(&cluster, &["create", "-a", "flmping"]).await?;
    wait_until(LIMIT, "it has what was acknowledged", || async {
        let status = flmctl(&cluster, &["cluster", "status", "-o", "json"]).await?.with_code(0)?.json()?;
        let applied = status["members"].as_array().into_iter().flatten().map(|row| &row["status"]["applied"]);
        let applied: Vec<_> = applied.collect();
        ensure!(applied.len() == 3 && applied.windows(2).all(|pair| pair[0] == pair[1]), "{status:#}");
        Ok(())
    })
    .await?;
    cluster.stop_coordinator(old).await?;
    cluster.restore_data(old, copy.path())?;
    cluster.start_coordinator(old).await?;
    ensure!(cluster.coordinator_ended(old).await? == QUARANTINE, "{}", cluster.tail(old));
    ensure!(cluster.tail(old).contains("has an old copy of its disk"), "{}", cluster.tail(old));

    // To remove the other follower now would leave one of two.
    let other = cluster.coordinator_ids().into_iter().find(|id| *id != old && *id != leader).context("another")?;
    let loses = ["cluster", "remove", &other.to_string(), "--dry-run"];
    wait_until(LIMIT, "the leader misses it", || async {
        flmctl(&cluster, &loses).await?.complained(CONFLICT, &["of 2 voters only 1 answer"]).map(drop)
    })
    .await?;
    let refused = flmctl(&cluster, &["cluster", "remove", &other.to_string()]).await?;
    refused.complained(CONFLICT, &["of 2 voters only 1 answer", "--force"])?;
    // To remove the one that is gone is fine; and it stays gone.
    done(&cluster, &["cluster", "remove", &old.to_string()]).await?;
    cluster.set_member(old, false);
    cluster.start_coordinator(old).await?;
    ensure!(cluster.coordinator_ended(old).await? == REMOVED, "{}", cluster.tail(old));
    cluster.leader().await?;
    cluster.shutdown().await
}
