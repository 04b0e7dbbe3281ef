//! Tasks: run, invoke, failures, payloads, lists, counters, bind failures, nodes and executors.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use flame_rs::apis::{SessionState, Shim, TaskState};
use flame_rs::client::NodeState;
use flame_rs::{FlameMessage, SessionOptions, TaskOptions};
use serde::{Deserialize, Serialize};

use crate::check::{Check, Outcome};
use crate::world::{Raw, World, eventually, explain, refused};
use crate::{check_list, ensure};

pub fn checks() -> Vec<Check> {
    check_list!("tasks":
        invoke_returns_what_the_service_returned,
        task_ids_are_one_two_three,
        no_input_and_no_output_stay_absent,
        an_empty_output_stays_present,
        a_typed_service_with_macros_answers,
        two_hundred_parallel_runs,
        counters_are_exact_once_the_end_was_seen,
        a_failing_task_says_why,
        a_crashing_service_fails_the_task_with_a_reason,
        list_tasks_has_them_all,
        common_data_and_tokens_reach_the_service,
        the_gang_size_reaches_the_service,
        affinity_is_kept,
        the_service_gets_its_environment,
        a_bind_failure_is_an_event_of_the_session,
        a_shim_nobody_has_leaves_the_task_pending,
        an_oversize_input_is_refused,
        unknown_tasks_are_not_found,
        nodes_and_executors_are_listed,
    )
}

async fn invoke_returns_what_the_service_returned(world: &World) -> Outcome {
    let session = world.echo_session("invoke").await?;
    for input in [Raw::text("hello"), Raw(vec![0, 159, 146, 150, 255]), Raw(vec![7; 100_000])] {
        let handle = session.invoke::<_, Raw>(&input).await.map_err(explain("invoke"))?;
        let output = handle.await.map_err(explain("await"))?;
        ensure!(output.as_ref() == Some(&input), "{} bytes came back changed", input.0.len());
    }
    Ok(())
}

async fn task_ids_are_one_two_three(world: &World) -> Outcome {
    let session = world.echo_session("ids").await?;
    for expected in ["1", "2", "3"] {
        let run = session.run::<_, Raw>(&Raw::text("x")).await.map_err(explain("run"))?;
        ensure!(run.id() == expected, "task id {} instead of {expected}", run.id());
        run.await.map_err(explain("await"))?;
    }
    let first = session.get_task(&"1".to_owned()).await.map_err(explain("get task"))?;
    ensure!(first.state == TaskState::Succeed, "task 1 is {}", first.state);
    ensure!(first.ssn_id == session.id, "task 1 belongs to {}", first.ssn_id);
    ensure!(first.input.as_deref() == Some(b"x".as_slice()), "input {:?}", first.input);
    Ok(())
}

async fn no_input_and_no_output_stay_absent(world: &World) -> Outcome {
    let session = world.echo_session("absent").await?;
    let run = session.run::<_, Raw>(()).await.map_err(explain("run"))?;
    let id = run.id().clone();
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.output.is_none(), "output {:?}", result.output);
    let task = session.get_task(&id).await.map_err(explain("get task"))?;
    ensure!(task.input.is_none(), "input {:?}", task.input);
    ensure!(task.output.is_none(), "output {:?}", task.output);
    let output = session.invoke::<_, Raw>(&Raw::text("none")).await.map_err(explain("invoke"))?;
    let output = output.await.map_err(explain("await"))?;
    ensure!(output.is_none(), "output {output:?}");
    Ok(())
}

async fn an_empty_output_stays_present(world: &World) -> Outcome {
    let session = world.echo_session("empty").await?;
    let run = session.run::<_, Raw>(&Raw::text("empty")).await.map_err(explain("run"))?;
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.output == Some(Raw(Vec::new())), "output {:?}", result.output);
    let run = session.run::<_, Raw>(&Raw(Vec::new())).await.map_err(explain("run"))?;
    let id = run.id().clone();
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.output == Some(Raw(Vec::new())), "echo of an empty input {:?}", result.output);
    let task = session.get_task(&id).await.map_err(explain("get task"))?;
    ensure!(task.input.as_deref() == Some(b"".as_slice()), "input {:?}", task.input);
    Ok(())
}

#[derive(Serialize, Deserialize, FlameMessage)]
struct Pair {
    left: i64,
    right: i64,
}

#[derive(Serialize, Deserialize, FlameMessage)]
struct Sum {
    sum: i64,
    session: String,
}

async fn a_typed_service_with_macros_answers(world: &World) -> Outcome {
    let application = world.typed_application("typed").await?;
    let session = world.session(SessionOptions::new(application)).await?;
    let handle = session.invoke::<_, Sum>(&Pair { left: 40, right: 2 }).await.map_err(explain("invoke"))?;
    let sum = handle.await.map_err(explain("await"))?.ok_or("no output")?;
    ensure!(sum.sum == 42, "sum {}", sum.sum);
    ensure!(sum.session == session.id, "session {}", sum.session);
    let run = session.run::<_, Sum>(&Pair { left: i64::MAX, right: 1 }).await.map_err(explain("run"))?;
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_failed(), "an overflow ended {}", result.state);
    let message = result.error_message.unwrap_or_default();
    ensure!(message.contains("the sum is too large"), "message: {message}");
    Ok(())
}

async fn two_hundred_parallel_runs(world: &World) -> Outcome {
    const RUNS: usize = 200;
    let session = world.echo_session("parallel").await?;
    let submits = (0..RUNS).map(|number| {
        let session = session.clone();
        async move {
            let input = Raw::text(format!("run {number}"));
            let run = session.run::<_, Raw>(&input).await.map_err(explain("run"))?;
            let result = run.await.map_err(explain("await"))?;
            ensure!(result.is_succeed(), "run {number} ended {}", result.state);
            ensure!(result.output.as_ref() == Some(&input), "run {number} got another's output");
            Ok(result.task_id)
        }
    });
    let ids: HashSet<String> = futures::future::try_join_all(submits).await?.into_iter().collect();
    ensure!(ids.len() == RUNS, "{} different ids", ids.len());
    let got = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
    ensure!(got.succeed == 200 && got.pending == 0 && got.running == 0, "counters {} {}", got.succeed, got.running);
    Ok(())
}

async fn counters_are_exact_once_the_end_was_seen(world: &World) -> Outcome {
    let session = world.echo_session("counters").await?;
    for round in 1..=5 {
        let good = session.run::<_, Raw>(&Raw::text("x")).await.map_err(explain("run"))?;
        good.await.map_err(explain("await"))?;
        let bad = session.run::<_, Raw>(&Raw::text("fail:x")).await.map_err(explain("run"))?;
        bad.await.map_err(explain("await"))?;
        let got = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
        let counters = (got.pending, got.running, got.succeed, got.failed);
        ensure!(counters == (0, 0, round, round), "counters after round {round}: {counters:?}");
    }
    Ok(())
}

async fn a_failing_task_says_why(world: &World) -> Outcome {
    let session = world.echo_session("failing").await?;
    let run = session.run::<_, Raw>(&Raw::text("fail:out of coffee")).await.map_err(explain("run"))?;
    let id = run.id().clone();
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_failed(), "state {}", result.state);
    ensure!(result.error_code == Some(3), "code {:?}", result.error_code);
    let message = result.error_message.unwrap_or_default();
    ensure!(message.contains("out of coffee"), "the watch does not carry the message: {message}");
    let task = session.get_task(&id).await.map_err(explain("get task"))?;
    let event = task.events.iter().find(|event| event.code == 3).ok_or("no event with code 3")?;
    let message = event.message.clone().unwrap_or_default();
    ensure!(message.contains("out of coffee"), "the event says {message:?}");
    let handle = session.invoke::<_, Raw>(&Raw::text("fail:again")).await.map_err(explain("invoke"))?;
    let text = refused("invoke of a failing task", handle.await)?;
    ensure!(text.contains("again"), "invoke says {text:?}");
    Ok(())
}

async fn a_crashing_service_fails_the_task_with_a_reason(world: &World) -> Outcome {
    let session = world.echo_session("crashing").await?;
    let run = session.run::<_, Raw>(&Raw::text("crash")).await.map_err(explain("run"))?;
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_failed(), "state {}", result.state);
    ensure!(result.error_message.is_some_and(|message| !message.is_empty()), "no reason is given");
    let run = session.run::<_, Raw>(&Raw::text("after the crash")).await.map_err(explain("run"))?;
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_succeed(), "the next task ended {}: {:?}", result.state, result.error_message);
    Ok(())
}

async fn list_tasks_has_them_all(world: &World) -> Outcome {
    let session = world.echo_session("list").await?;
    let runs =
        futures::future::try_join_all((0..5).map(|_| session.run::<_, Raw>(()))).await.map_err(explain("run"))?;
    let mut expected = HashSet::new();
    for run in runs {
        expected.insert(run.id().clone());
        run.await.map_err(explain("await"))?;
    }
    let listed = session.list_tasks().await.map_err(explain("list"))?;
    let ids: HashSet<String> = listed.iter().map(|task| task.id.clone()).collect();
    ensure!(listed.len() == 5 && ids == expected, "listed {ids:?}");
    ensure!(listed.iter().all(|task| task.state == TaskState::Succeed), "not all have succeeded");
    Ok(())
}

async fn common_data_and_tokens_reach_the_service(world: &World) -> Outcome {
    let application = world.echo_application("common").await?;
    let common = Raw::text("shared by all");
    let options = SessionOptions::new(application)
        .common_data(&common)
        .map_err(explain("common data"))?
        .token("storage", "a secret");
    let session = world.session(options).await?;
    let output = session.invoke::<_, Raw>(&Raw::text("common")).await.map_err(explain("invoke"))?;
    let output = output.await.map_err(explain("await"))?;
    ensure!(output == Some(common), "common data {output:?}");
    let output = session.invoke::<_, Raw>(&Raw::text("token:storage")).await.map_err(explain("invoke"))?;
    let output = output.await.map_err(explain("await"))?;
    ensure!(output == Some(Raw::text("a secret")), "the token did not arrive");
    Ok(())
}

async fn the_gang_size_reaches_the_service(world: &World) -> Outcome {
    let application = world.echo_application("gang").await?;
    let session = world.session(SessionOptions::new(application).batch_size(2).max_instances(2)).await?;
    let output = session.invoke::<_, Raw>(&Raw::text("session")).await.map_err(explain("invoke"))?;
    let output = output.await.map_err(explain("await"))?;
    let expected = Raw::text(format!("{} 2", session.id));
    ensure!(output.as_ref() == Some(&expected), "session and gang size: {output:?}");
    Ok(())
}

async fn affinity_is_kept(world: &World) -> Outcome {
    let session = world.echo_session("affinity").await?;
    let options = TaskOptions { affinity: HashSet::from([b"shard-7".to_vec(), b"shard-8".to_vec()]) };
    let run = session.run_with_options::<_, Raw>(&Raw::text("x"), options.clone()).await.map_err(explain("run"))?;
    let id = run.id().clone();
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_succeed(), "state {}", result.state);
    let task = session.get_task(&id).await.map_err(explain("get task"))?;
    ensure!(task.affinity == options.affinity, "affinity {:?}", task.affinity);
    Ok(())
}

async fn the_service_gets_its_environment(world: &World) -> Outcome {
    let mut attributes = world.echo_attributes();
    attributes.environments.insert("GREETING".into(), "hello".into());
    let application = world.register("environment", attributes).await?;
    let session = world.session(SessionOptions::new(application)).await?;
    let ask = |name: &'static str| {
        let session = session.clone();
        async move {
            let handle = session.invoke::<_, Raw>(&Raw::text(format!("env:{name}"))).await.map_err(explain(name))?;
            let value = handle.await.map_err(explain(name))?.ok_or(format!("{name} is not set"))?;
            Ok::<_, String>(String::from_utf8_lossy(&value.0).into_owned())
        }
    };
    ensure!(ask("GREETING").await? == "hello", "the application's environment is lost");
    let socket = ask("FLAME_INSTANCE_ENDPOINT").await?;
    ensure!(socket.starts_with('/') && socket.len() < 108, "FLAME_INSTANCE_ENDPOINT={socket}");
    let endpoint = ask("FLAME_ENDPOINT").await?;
    ensure!(endpoint.starts_with("http"), "FLAME_ENDPOINT={endpoint}");
    for name in ["HOME", "TMPDIR", "TEMP", "TMP", "RUST_LOG", "FLAME_LOG"] {
        ask(name).await?;
    }
    Ok(())
}

async fn a_bind_failure_is_an_event_of_the_session(world: &World) -> Outcome {
    let application = world.echo_application("refusing").await?;
    let options = SessionOptions::new(application)
        .common_data(&Raw::text("refuse:no licence"))
        .map_err(explain("common data"))?;
    let session = world.session(options).await?;
    session.create_task(None).await.map_err(explain("create task"))?;
    eventually("the session has event 1001", || async {
        let got = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
        ensure!(got.state == SessionState::Open, "the session is {}", got.state);
        let event = got.events.iter().find(|event| event.code == 1001);
        let Some(event) = event else { return Ok(false) };
        let message = event.message.clone().unwrap_or_default();
        ensure!(message.contains("failed to bind session"), "message: {message}");
        ensure!(message.contains("no licence"), "the service's reason is not in: {message}");
        Ok(true)
    })
    .await
}

async fn a_shim_nobody_has_leaves_the_task_pending(world: &World) -> Outcome {
    let mut attributes = world.echo_attributes();
    attributes.shim = Some(Shim::Wasm);
    let application = world.register("wasm", attributes).await?;
    let got = world.connection.get_application(&application).await.map_err(explain("get"))?;
    ensure!(got.attributes.shim == Some(Shim::Wasm), "the shim is lost");
    let session = world.session(SessionOptions::new(application)).await?;
    let task = session.create_task(None).await.map_err(explain("create task"))?;
    // A task that can run, submitted later, passes it by: so the scheduler has looked at both.
    let other = world.echo_session("beside-wasm").await?;
    let run = other.run::<_, Raw>(&Raw::text("x")).await.map_err(explain("run"))?;
    run.await.map_err(explain("await"))?;
    let task = session.get_task(&task.id).await.map_err(explain("get task"))?;
    ensure!(task.state == TaskState::Pending, "state {}", task.state);
    let session = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
    ensure!(session.state == SessionState::Open, "session {}", session.state);
    Ok(())
}

async fn an_oversize_input_is_refused(world: &World) -> Outcome {
    let session = world.echo_session("oversize").await?;
    let text = refused("5 MiB", session.create_task(Some(Bytes::from(vec![0; 5 << 20]))).await)?;
    ensure!(!text.is_empty(), "no reason");
    refused("80 MiB", session.create_task(Some(Bytes::from(vec![0; 80 << 20]))).await)?;
    let run = session.run::<_, Raw>(&Raw::text("still fine")).await.map_err(explain("run"))?;
    ensure!(run.id() == "1", "the refused task took a number");
    run.await.map_err(explain("await"))?;
    Ok(())
}

async fn unknown_tasks_are_not_found(world: &World) -> Outcome {
    let session = world.echo_session("unknown").await?;
    let text = refused("get", session.get_task(&"77".to_owned()).await)?;
    ensure!(text.contains("not found"), "text: {text}");
    let text = refused("get", session.get_task(&"seven".to_owned()).await)?;
    ensure!(text.contains("invalid task id"), "text: {text}");
    Ok(())
}

async fn nodes_and_executors_are_listed(world: &World) -> Outcome {
    let nodes = world.connection.list_nodes().await.map_err(explain("list nodes"))?;
    let ready: Vec<_> = nodes.iter().filter(|node| node.state == NodeState::Ready).collect();
    let node = *ready.first().ok_or("no worker is ready")?;
    ensure!(node.cpu > 0 && node.memory > 0, "capacity cpu={} memory={}", node.cpu, node.memory);
    ensure!(!node.arch.is_empty() && !node.os.is_empty(), "arch {:?} os {:?}", node.arch, node.os);
    let got = world.connection.get_node(&node.name).await.map_err(explain("get node"))?;
    ensure!(got.hostname == node.hostname, "hostname {}", got.hostname);
    let text = refused("get node", world.connection.get_node("no-such-node").await)?;
    ensure!(text.contains("no-such-node not found"), "text: {text}");
    let session = world.echo_session("executors").await?;
    let run = session.run::<_, Raw>(&Raw::text("sleep:1500:x")).await.map_err(explain("run"))?;
    eventually("an executor of the session is listed", || async {
        let executors = world.connection.list_executors().await.map_err(explain("list executors"))?;
        let mine = executors.iter().find(|executor| executor.session_id.as_ref() == Some(&session.id));
        let Some(mine) = mine else { return Ok(false) };
        ensure!(nodes.iter().any(|node| node.name == mine.node), "it is on an unknown node {}", mine.node);
        ensure!(mine.application == session.application, "application {:?}", mine.application);
        Ok(true)
    })
    .await?;
    tokio::time::timeout(Duration::from_secs(60), run).await.map_err(|_| "no end")?.map_err(explain("await"))?;
    Ok(())
}
