//! Runs in flight while the leader is killed: they all end well, and none is executed twice.
//!
//! Prints `in-flight` once some runs have finished and some are running; whoever listens then kills the leader and
//! writes `killed` to our stdin. More runs are started after that, and all are awaited.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flame_rs::Session;
use flame_rs::apis::TaskState;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::ensure;
use crate::world::{Raw, World, eventually, explain};

/// Every fourth task sleeps, so that some are running whenever the leader dies.
const SLEEP_EVERY: usize = 4;
const SLEEP_MS: usize = 1500;
const RUNS_BEFORE: usize = 60;
const RUNS_AFTER: usize = 20;

/// Runs the whole scene.
pub async fn run(world: &World, echo_log: &str) -> ExitCode {
    match scene(world, echo_log).await {
        Ok(count) => {
            println!("flame-rs 0.7.0 failover: runs={count} succeeded={count} executed={count}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("FAILED rust::failover: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn scene(world: &World, echo_log: &str) -> Result<usize, String> {
    let mut attributes = world.echo_attributes();
    attributes.environments.insert("FLAME_ECHO_LOG".into(), echo_log.into());
    let application = world.register("failover", attributes).await?;
    let session = world.session(application.into()).await?;
    let finished = Arc::new(AtomicUsize::new(0));
    let before: Vec<_> = (0..RUNS_BEFORE).map(|number| start(&session, number, &finished)).collect();
    eventually("some runs have finished and some are running", || async {
        let tasks = session.list_tasks().await.map_err(explain("list tasks"))?;
        let running = tasks.iter().any(|task| task.state == TaskState::Running);
        Ok(running && finished.load(Ordering::Relaxed) > 0 && finished.load(Ordering::Relaxed) < RUNS_BEFORE)
    })
    .await?;
    println!("in-flight");
    let mut answer = String::new();
    let mut stdin = BufReader::new(tokio::io::stdin());
    stdin.read_line(&mut answer).await.map_err(|error| format!("stdin: {error}"))?;
    ensure!(answer.trim() == "killed", "expected the word `killed` on stdin, got {answer:?}");
    let after: Vec<_> =
        (RUNS_BEFORE..RUNS_BEFORE + RUNS_AFTER).map(|number| start(&session, number, &finished)).collect();
    let mut ids = Vec::new();
    for run in before.into_iter().chain(after) {
        ids.push(run.await.map_err(|error| format!("a run's task broke: {error}"))??);
    }
    executed_once(&session, &ids, echo_log)?;
    Ok(ids.len())
}

fn start(
    session: &Session,
    number: usize,
    finished: &Arc<AtomicUsize>,
) -> tokio::task::JoinHandle<Result<String, String>> {
    let (session, finished) = (session.clone(), finished.clone());
    tokio::spawn(async move {
        let sleeps = number.is_multiple_of(SLEEP_EVERY);
        let input = if sleeps { format!("sleep:{SLEEP_MS}:{number}") } else { format!("echo:{number}") };
        let input = Raw::text(input);
        let run = session.run::<_, Raw>(&input).await.map_err(|error| format!("submit {number}: {error}"))?;
        let result = run.await.map_err(|error| format!("run {number}: {error}"))?;
        ensure!(result.is_succeed(), "run {number} ended {}: {:?}", result.state, result.error_message);
        ensure!(result.output.as_ref() == Some(&input), "run {number} got another's output");
        finished.fetch_add(1, Ordering::Relaxed);
        Ok(result.task_id)
    })
}

/// The service's own log has one line for each task: a leader change alone re-runs nothing.
fn executed_once(session: &Session, ids: &[String], echo_log: &str) -> Result<(), String> {
    let log = std::fs::read_to_string(echo_log).map_err(|error| format!("{echo_log}: {error}"))?;
    let mut executions: HashMap<&str, usize> = HashMap::new();
    for line in log.lines() {
        let task = line.split('\t').next().unwrap_or(line);
        *executions.entry(task).or_default() += 1;
    }
    for id in ids {
        let count = executions.get(format!("{}/{id}", session.id).as_str()).copied().unwrap_or(0);
        ensure!(count == 1, "task {id} was executed {count} times");
    }
    Ok(())
}
