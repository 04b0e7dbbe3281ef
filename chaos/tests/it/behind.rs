//! A coordinator that misses so much of the log that it needs a snapshot serves nobody until it has it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_proto::v1;
use flame_proto::v1::frontend_client::FrontendClient;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::metrics::get;

const LIMIT: Duration = Duration::from_secs(60);

/// The log is cut as soon as it has so much, and nothing of it stays: who was away needs a snapshot.
const LOG_BYTES: &str = "65536";

/// It takes some seconds to come.
const SNAPSHOT_RATE: &str = "524288";

/// Inputs that are kept.
const TASKS: usize = 40;
const INPUT_BYTES: usize = 64 << 10;

/// Up to where a coordinator has cut its log.
async fn purged(metrics: &str) -> Result<u64> {
    let scraped = get(metrics, "/metrics").await?.body;
    let line = scraped.lines().find(|line| line.starts_with("flame_raft_log_index{point=\"purged\"}"));
    let figure = line.and_then(|line| line.split(' ').nth(1)).context("no figure of the log")?;
    Ok(figure.parse::<f64>()? as u64)
}

/// What does not become smaller.
fn input() -> Bytes {
    std::iter::repeat_with(rand::random::<u8>).take(INPUT_BYTES).collect::<Vec<_>>().into()
}

struct Behind {
    channel: Channel,
    client: Connection,
    session: String,
    metrics: String,
}

impl Behind {
    async fn health(&self) -> Result<ServingStatus> {
        let mut health = HealthClient::new(self.channel.clone());
        let request = HealthCheckRequest { service: "readiness".to_owned() };
        Ok(health.check(request).await?.into_inner().status())
    }

    /// It says so in every way, and refuses what comes.
    async fn turns_clients_away(&self) -> Result<()> {
        let status = self.client.member_status().await?;
        let why = &status.not_ready_reason;
        ensure!(!status.ready && why.contains("receives a snapshot"), "{status:?}");
        ensure!(self.health().await? == ServingStatus::NotServing, "it says that it serves");
        let readyz = get(&self.metrics, "/readyz").await?;
        ensure!(readyz.status == 503 && readyz.body.contains("receives a snapshot"), "{}", readyz.body);
        let livez = get(&self.metrics, "/livez").await?;
        ensure!(livez.status == 200, "to start it again would not help: {}", livez.body);
        let mut frontend = FrontendClient::new(self.channel.clone());
        let spec = v1::TaskSpec { session_id: self.session.clone(), ..v1::TaskSpec::default() };
        let refused = frontend.create_task(v1::CreateTaskRequest { task: Some(spec) }).await;
        let refused = refused.err().context("it takes tasks")?;
        ensure!(refused.code() == Code::Unavailable && refused.message().contains("not ready"), "{refused}");
        let refused = frontend.get_session(v1::GetSessionRequest { session_id: self.session.clone() }).await;
        let refused = refused.err().context("it shows what is old")?;
        ensure!(refused.code() == Code::Unavailable && refused.message().contains("not ready"), "{refused}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_waits_for_a_snapshot_turns_clients_away_until_it_is_there() -> Result<()> {
    let settings = [("LOG_BYTES", LOG_BYTES), ("LOG_KEPT", "0"), ("SNAPSHOT_RATE", SNAPSHOT_RATE)];
    let environment = settings.map(|(key, value)| (format!("FLAME_COORDINATOR_{key}"), value.to_owned())).to_vec();
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, environment, ..ClusterOptions::default() }).await?;
    let leader = cluster.leader().await?.id;
    let behind = cluster.coordinator_ids().into_iter().find(|id| *id != leader).context("a follower")?;
    let client = Connection::open(Endpoints::parse(&[cluster.endpoint(leader)])?, Options::default())?;
    let session = client.create_session(&SessionOptions::new("flmping")).await?.metadata.id;
    cluster.kill_coordinator(behind).await?;
    let missed = client.member_status().await?.committed;
    for _ in 0..TASKS {
        client.create_task(&session, Some(input())).await?;
    }
    wait_until_cut(&mut cluster, leader, missed).await?;

    cluster.start_coordinator(behind).await?;
    let metrics = cluster.metrics_address(behind).await?;
    let endpoint = cluster.endpoint(behind);
    let channel = Endpoint::from_shared(endpoint.clone())?.connect().await?;
    let own = Connection::open(Endpoints::parse(std::slice::from_ref(&endpoint))?, Options::default())?;
    let node = Behind { channel, client: own, session: session.clone(), metrics };
    wait_until(LIMIT, "it turns clients away", || node.turns_clients_away()).await?;
    // Clients that know others go on there.
    let both = Connection::open(Endpoints::parse(&[endpoint, cluster.endpoint(leader)])?, Options::default())?;
    both.create_task(&session, None).await?;

    wait_until(LIMIT, "it serves", || async {
        let health = node.health().await?;
        ensure!(health == ServingStatus::Serving, "{health:?}");
        Ok(())
    })
    .await?;
    ensure!(get(&node.metrics, "/readyz").await?.status == 200);
    let task = node.client.create_task(&session, None).await?;
    ensure!(task.metadata.id == (TASKS + 2).to_string(), "{task:?}");
    cluster.shutdown().await
}

/// Waits until the leader has cut its log beyond an entry.
pub async fn wait_until_cut(cluster: &mut Cluster, leader: CoordinatorId, beyond: u64) -> Result<()> {
    let metrics = cluster.metrics_address(leader).await?;
    wait_until(LIMIT, "the log is cut", || async {
        let purged = purged(&metrics).await?;
        ensure!(purged > beyond, "it is cut at {purged}, {beyond} is expected");
        Ok(())
    })
    .await
}
