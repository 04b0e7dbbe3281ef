//! Services with clients of their own live through the loss of any coordinator: their worker offers them a proxy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_chaos::{nested, service};
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions, SessionStream};
use flame_testkit::{Binaries, Cluster, ClusterOptions};
use tokio::time::timeout;

const OUTER: &str = "nested";
const INNER: &str = "echo";

/// Tasks that each outer task runs.
const INNER_TASKS: u64 = 60;

const LIMIT: Duration = Duration::from_secs(120);

async fn register(connection: &Connection, name: &str, word: &str) -> Result<()> {
    let nowhere = Environment { name: service::LOG_VARIABLE.to_owned(), value: "/dev/null".to_owned() };
    let spec = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-chaos")?.display().to_string()),
        arguments: vec![word.to_owned()],
        environments: vec![nowhere],
        ..ApplicationSpec::default()
    };
    Ok(connection.register_application(name, spec).await?)
}

/// Runs outer tasks and looks at what they came to.
async fn run(stream: &SessionStream, tasks: usize) -> Result<()> {
    let mut submitted = Vec::new();
    for _ in 0..tasks {
        submitted.push(stream.submit(Some(nested::order(INNER, INNER_TASKS))).await?);
    }
    for task in submitted {
        let end = timeout(LIMIT, task.result()).await.context("an outer task does not end")??;
        ensure!(end.succeeded(), "{end:?}");
        let all = INNER_TASKS.to_string();
        ensure!(end.output.as_deref() == Some(all.as_bytes()), "not all inner tasks came back: {end:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_clients_live_through_the_loss_of_any_coordinator() -> Result<()> {
    // Inner tasks need executors of their own beside those of the outer ones.
    let options = ClusterOptions { worker_resources: "cpu=16,mem=16g".to_owned(), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(options).await?;
    let connection = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    register(&connection, OUTER, "nested").await?;
    register(&connection, INNER, "service").await?;
    let session = SessionOptions { max_instances: Some(2), ..SessionOptions::new(OUTER) };
    let session = connection.create_session(&session).await?.metadata.id;
    let stream = connection.open_stream(&session).await?;

    // The coordinator that the worker's configuration names to services is gone before any of them has begun.
    let ids = cluster.coordinator_ids();
    let named = ids[0];
    cluster.kill_coordinator(named).await?;
    cluster.leader().await?;
    run(&stream, 2).await.with_context(|| cluster.tails())?;

    // And then each in turn, while inner tasks run.
    cluster.start_coordinator(named).await?;
    for id in ids {
        let running = tokio::spawn({
            let stream = stream.clone();
            async move { run(&stream, 4).await }
        });
        cluster.kill_coordinator(id).await?;
        cluster.leader().await?;
        cluster.start_coordinator(id).await?;
        running.await?.with_context(|| format!("coordinator {id} was killed\n{}", cluster.tails()))?;
    }
    stream.close().await?;
    cluster.shutdown().await
}
