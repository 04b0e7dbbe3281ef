//! Two builds of the coordinator in one cluster, the second of which understands one feature level more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_chaos::run::{Run, RunOptions, Traffic};
use flame_jepsen::Judgement;
use flame_sdk::{Connection, Endpoints, Options};
use flame_testkit::{Build, Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;

use crate::behind::wait_until_cut;
use crate::programs::{Ended, LIMIT, run};

/// A build that does not understand the cluster's level.
const OUTDATED: i32 = 17;

const CONFLICT: i32 = 6;

/// So many bytes of log are enough for it to be cut.
const LOG_BYTES: &str = "65536";

async fn flmctl(cluster: &Cluster, words: &[&str]) -> Result<Ended> {
    let endpoints = cluster.endpoints().join(",");
    run("flmctl", &[words, &["--endpoint", &endpoints]].concat()).await
}

/// What happened in the cluster, by kind.
async fn events(cluster: &Cluster, kind: &str) -> Result<usize> {
    let told = flmctl(cluster, &["cluster", "events", "-n", "10000", "-o", "json"]).await?.with_code(0)?.json()?;
    let events = told["events"].as_array().with_context(|| format!("{told:#}"))?;
    Ok(events.iter().filter(|event| event["kind"] == kind).count())
}

/// A coordinator is stopped, started from this build, and has caught up.
async fn change(run: &mut Run, id: CoordinatorId, build: Build) -> Result<()> {
    run.goes_on(100).await?;
    run.cluster.stop_coordinator(id).await?;
    run.cluster.use_build(id, build)?;
    run.cluster.start_coordinator(id).await?;
    run.catches_up(id).await
}

async fn at_level(run: &Run, level: u32) -> Result<()> {
    wait_until(LIMIT, &format!("all run at level {level}"), || async {
        let levels = run.feature_levels().await?;
        ensure!(levels.iter().all(|(_, found)| *found == level), "{levels:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_may_be_mixed_until_the_level_is_raised() -> Result<()> {
    let mut run = Run::start(RunOptions { cluster: ClusterOptions::default(), services_max: 8, window: 2_000 }).await?;
    let takes = |number: u64| if number.is_multiple_of(25) { Duration::from_millis(300) } else { Duration::ZERO };
    let traffic = Traffic::start(&run.load, "upgrade", Duration::from_millis(5), takes);
    at_level(&run, 1).await?;
    let ids = run.cluster.coordinator_ids();

    // One is newer: nobody notices, and the level cannot be raised.
    change(&mut run, ids[0], Build::Next).await?;
    let early = flmctl(&run.cluster, &["cluster", "upgrade", "--to", "2"]).await?;
    early.complained(CONFLICT, &["understands level 1", "before level 2 start a release there that does"])?;
    // And back again, and all of them.
    change(&mut run, ids[0], Build::Present).await?;
    for id in &ids {
        change(&mut run, *id, Build::Next).await?;
    }
    at_level(&run, 1).await?;
    ensure!(events(&run.cluster, "test_only").await? == 0, "what level 2 brings was written at level 1");

    let planned = flmctl(&run.cluster, &["cluster", "upgrade", "--dry-run"]).await?.with_code(0)?;
    ensure!(planned.stdout.contains("would go from feature level 1 to 2"), "{}", planned.stdout);
    at_level(&run, 1).await?;
    let raised = flmctl(&run.cluster, &["cluster", "upgrade"]).await?.with_code(0)?;
    ensure!(raised.stdout.contains("The cluster runs at feature level 2 from now on"), "{}", raised.stdout);
    let again = flmctl(&run.cluster, &["cluster", "upgrade", "--to", "2"]).await?.with_code(0)?;
    ensure!(again.stdout.contains("at feature level 2 already"), "{}", again.stdout);
    let falls = flmctl(&run.cluster, &["cluster", "upgrade", "--to", "1"]).await?;
    falls.complained(CONFLICT, &["levels never fall"])?;
    at_level(&run, 2).await?;
    wait_until(LIMIT, "what level 2 brings is written", || async {
        ensure!(events(&run.cluster, "test_only").await? > 0, "it is not");
        Ok(())
    })
    .await?;

    // The older build refuses the directory, and is not let in with a new one either.
    let id = ids[1];
    run.cluster.stop_coordinator(id).await?;
    run.cluster.use_build(id, Build::Present)?;
    let code = run.cluster.start_to_end(id).await?;
    ensure!(code == OUTDATED, "it ended with {code}\n{}", run.cluster.tail(id));
    let says = "is of feature level 2, and this program understands levels 1 to 1; start the release";
    ensure!(run.cluster.tail(id).contains(says), "{}", run.cluster.tail(id));
    run.cluster.use_build(id, Build::Next)?;
    run.cluster.start_coordinator(id).await?;
    run.catches_up(id).await?;
    let stranger = run.cluster.add_coordinator().await?;
    let code = run.cluster.coordinator_ended(stranger).await?;
    ensure!(code == OUTDATED, "it ended with {code}\n{}", run.cluster.tail(stranger));
    let says = "the cluster runs at feature level 2, and this build understands level 1";
    ensure!(run.cluster.tail(stranger).contains(says), "{}", run.cluster.tail(stranger));

    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let verdict = run.verdict().await?;
    ensure!(verdict.judgement == Judgement::Valid && verdict.succeeded == submitted, "{verdict}");
    run.cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_begins_at_the_highest_level_of_its_members() -> Result<()> {
    let cluster =
        Cluster::start(ClusterOptions { build: Build::Next, workers: 0, ..ClusterOptions::default() }).await?;
    wait_until(LIMIT, "it runs at level 2", || async {
        let planned =
            flmctl(&cluster, &["cluster", "upgrade", "--dry-run", "-o", "json"]).await?.with_code(0)?.json()?;
        ensure!(planned["present"] == 2, "{planned:#}");
        Ok(())
    })
    .await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_either_build_installs_on_the_other() -> Result<()> {
    let settings = [("LOG_BYTES", LOG_BYTES), ("LOG_KEPT", "0")];
    let environment = settings.map(|(name, value)| (format!("FLAME_COORDINATOR_{name}"), value.to_owned()));
    let options = ClusterOptions { environment: environment.to_vec(), ..ClusterOptions::default() };
    let mut run = Run::start(RunOptions { cluster: options, services_max: 8, window: 2_000 }).await?;
    let traffic = Traffic::start(&run.load, "snapshot", Duration::from_millis(1), |_| Duration::ZERO);

    // The older build leads, and one that comes back as the newer one gets what the older one has.
    let leader = run.cluster.leader().await?.id;
    let followers: Vec<_> = run.cluster.coordinator_ids().into_iter().filter(|id| *id != leader).collect();
    gets_a_snapshot(&mut run, followers[0], Build::Next).await?;
    // And the other way round.
    let client = Connection::open(Endpoints::parse(&run.cluster.endpoints())?, Options::default())?;
    client.transfer_leader(Some(followers[0])).await?;
    gets_a_snapshot(&mut run, followers[1], Build::Present).await?;

    let submitted = traffic.stop().await?;
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let verdict = run.verdict().await?;
    ensure!(verdict.judgement == Judgement::Valid && verdict.succeeded == submitted, "{verdict}");
    run.cluster.shutdown().await
}

/// Keeps a coordinator away until the log that it needs is gone, and starts it from this build.
async fn gets_a_snapshot(run: &mut Run, id: CoordinatorId, build: Build) -> Result<()> {
    run.cluster.stop_coordinator(id).await?;
    let leader = run.cluster.leader().await?.id;
    let client = Connection::open(Endpoints::parse(&[run.cluster.endpoint(leader)])?, Options::default())?;
    let missed = client.member_status().await?.committed;
    wait_until_cut(&mut run.cluster, leader, missed).await?;
    ensure!(run.cluster.leader().await?.id == leader, "somebody else leads");
    let received = run.cluster.coordinator_written(id, "receiving a snapshot")?;
    run.cluster.use_build(id, build)?;
    run.cluster.start_coordinator(id).await?;
    run.catches_up(id).await?;
    let now = run.cluster.coordinator_written(id, "receiving a snapshot")?;
    ensure!(now > received, "it caught up without a snapshot\n{}", run.cluster.tail(id));
    Ok(())
}
