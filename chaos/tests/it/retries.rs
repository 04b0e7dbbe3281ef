//! What comes to nothing is tried again as often as its policy says, and its history can be read: a task that kills its
//! service, one that fails, one that hangs. The others do not notice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_sdk::model::{ApplicationSpec, Retries, Retry, Task};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions, SessionStream, SubmittedTask, TaskEnd};
use flame_testkit::{Binaries, Cluster, ClusterOptions, wait_until};
use flame_types::TaskState;

const APPLICATION: &str = "moody";

const LIMIT: Duration = Duration::from_secs(120);

/// Tasks beside the poison, before and behind it.
const OTHERS: usize = 40;

/// Starts of the poison, each of which kills a service.
const CRASHES: u32 = 3;

async fn connection(cluster: &Cluster) -> Result<Connection> {
    let connection = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    let spec = ApplicationSpec {
        command: Some(Binaries::find()?.path("flame-echo-service")?.display().to_string()),
        // The session says more; what it leaves out is as here.
        retry: Some(Retries { failed: quickly(2), ..Retries::default() }),
        ..ApplicationSpec::default()
    };
    connection.register_application(APPLICATION, spec).await?;
    Ok(connection)
}

/// So many starts, with hardly a wait between them.
fn quickly(starts_max: u32) -> Option<Retry> {
    Some(Retry { starts_max: Some(starts_max), backoff_ms: Some(10), backoff_ms_max: Some(20) })
}

async fn session(connection: &Connection, options: SessionOptions) -> Result<(String, SessionStream)> {
    let id = connection.create_session(&options).await?.metadata.id;
    let stream = connection.open_stream(&id).await?;
    Ok((id, stream))
}

async fn end(task: SubmittedTask) -> Result<TaskEnd> {
    Ok(tokio::time::timeout(LIMIT, task.result()).await.context("no end comes")??)
}

/// The task, after a look at what must be true of every history.
async fn with_history(connection: &Connection, session: &str, end: &TaskEnd) -> Result<Task> {
    let task = connection.get_task(session, end.task).await?;
    let attempts = &task.status.attempts;
    let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
    ensure!(numbers == (1..=attempts.len()).map(|number| number as u32).collect::<Vec<_>>(), "{attempts:?}");
    for attempt in attempts {
        ensure!(attempt.node == "w1" && attempt.ended >= Some(attempt.started), "{attempt:?}");
        ensure!(attempt.cause.is_some() == attempt.message.is_some(), "{attempt:?}");
    }
    Ok(task)
}

fn causes(task: &Task) -> Vec<&str> {
    task.status.attempts.iter().filter_map(|attempt| attempt.cause.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_task_stops_at_its_limit_and_the_others_end_well() -> Result<()> {
    let mut cluster = Cluster::start(ClusterOptions::default()).await?;
    let connection = connection(&cluster).await?;
    let crashed = Some(Retry { starts_max: Some(CRASHES), backoff_ms: Some(500), backoff_ms_max: Some(500) });
    let retry = Retries { crashed, ..Retries::default() };
    let options = SessionOptions { retry: Some(retry), max_instances: Some(2), ..SessionOptions::new(APPLICATION) };
    let (id, stream) = session(&connection, options).await?;
    ensure!(connection.get_session(&id).await?.spec.retry == Some(retry), "the policy is not shown");

    let mut others = Vec::new();
    let mut poison = None;
    for number in 0..OTHERS {
        if number == OTHERS / 2 {
            poison = Some(stream.submit(Some(Bytes::from_static(b"crash"))).await?);
        }
        let input = Bytes::from(format!("task-{number}"));
        others.push((input.clone(), stream.submit(Some(input)).await?));
    }
    let mut poison = poison.context("it was submitted")?;
    let number = poison.accepted().await?;
    wait_until(LIMIT, "the poison has killed a service", || async {
        let task = connection.get_task(&id, number).await?;
        ensure!(causes(&task).contains(&"crashed"), "{:?}", task.status);
        Ok(())
    })
    .await?;
    // It has two starts left.
    let leader = cluster.leader().await?.id;
    cluster.kill_coordinator(leader).await?;
    cluster.start_coordinator(leader).await?;

    for (input, task) in others {
        let end = end(task).await?;
        ensure!(end.succeeded() && end.output.as_ref() == Some(&input), "{end:?}");
    }
    let poisoned = end(poison).await?;
    ensure!(poisoned.state.is(TaskState::Failed), "{poisoned:?}");
    let message = poisoned.message.clone().unwrap_or_default();
    ensure!(message.contains(&format!("service crashed {CRASHES} times")), "{message}");
    let task = with_history(&connection, &id, &poisoned).await?;
    let crashes = causes(&task).into_iter().filter(|cause| *cause == "crashed").count();
    ensure!(crashes == CRASHES as usize && causes(&task).len() == task.status.attempts.len(), "{task:?}");
    ensure!(task.failure() == Some(message.as_str()), "{task:?}");
    stream.close().await?;
    cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_tasks_that_hang_are_tried_again_when_somebody_says_so() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let connection = connection(&cluster).await?;
    // Two starts, as the application says.
    let (id, stream) = session(&connection, SessionOptions::new(APPLICATION)).await?;
    let failed = end(stream.submit(Some(Bytes::from_static(b"fail no licence"))).await?).await?;
    ensure!(failed.state.is(TaskState::Failed) && failed.message.as_deref() == Some("no licence"), "{failed:?}");
    let task = with_history(&connection, &id, &failed).await?;
    ensure!(causes(&task) == ["failed", "failed"], "{task:?}");
    let told: Vec<_> = task.status.attempts.iter().filter_map(|attempt| attempt.message.as_deref()).collect();
    ensure!(told == ["task failed: no licence", "no licence"], "{told:?}");

    // A single start, and half a second at most: as the session says.
    let retry = Retries { failed: quickly(1), crashed: quickly(1), ..Retries::default() };
    let options = SessionOptions { retry: Some(retry), task_timeout_ms: Some(500), ..SessionOptions::new(APPLICATION) };
    let (id, stream) = session(&connection, options).await?;
    let hung = end(stream.submit(Some(Bytes::from_static(b"hang"))).await?).await?;
    ensure!(hung.state.is(TaskState::Failed), "{hung:?}");
    ensure!(hung.message.as_deref().is_some_and(|message| message.contains("ran longer than")), "{hung:?}");
    ensure!(causes(&with_history(&connection, &id, &hung).await?) == ["failed"], "{hung:?}");
    // What a task says itself comes first; and its service is a new one, since the old one hangs.
    let own = Arc::new(flame_types::TaskOptions { timeout_ms: Some(60_000), ..Default::default() });
    let long = stream.submit_with(Some(Bytes::from_static(b"sleep 800")), &own).await?;
    ensure!(end(long).await?.succeeded(), "it had a minute");
    cluster.shutdown().await
}
