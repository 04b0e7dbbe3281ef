//! Sessions: create, the open matrix, list and filters, get, close, suspend, resume, delete.

use flame_rs::SessionOptions;
use flame_rs::apis::{SessionState, TaskState};
use flame_rs::client::{ResourceRequirement, SessionFilter};

use crate::check::{Check, Outcome};
use crate::world::{Raw, World, eventually, explain, refused};
use crate::{check_list, ensure};

pub fn checks() -> Vec<Check> {
    check_list!("sessions":
        every_attribute_comes_back,
        a_duplicate_id_is_refused,
        open_returns_the_open_session,
        open_compares_the_specification,
        open_or_create_creates_once,
        open_of_nothing_is_not_found,
        open_of_a_closed_session_says_so,
        close_is_idempotent_and_keeps_the_session_listed,
        close_with_running_tasks_is_refused,
        close_cancels_what_waits,
        list_filters_by_application_state_and_ids,
        delete_wants_a_closed_session,
        delete_works_with_cancelled_tasks,
        suspend_holds_tasks_and_resume_lets_them_run,
        impossible_instance_counts_are_refused,
        hostile_ids_are_refused,
        unknown_ids_are_not_found,
    )
}

async fn every_attribute_comes_back(world: &World) -> Outcome {
    let application = world.echo_application("attributes").await?;
    let id = world.name("attributes");
    let common = Raw::text("common");
    let options = SessionOptions::new(application.clone())
        .id(id.clone())
        .common_data(&common)
        .map_err(explain("common data"))?
        .min_instances(0)
        .max_instances(3)
        .priority(9)
        .resreq(ResourceRequirement::parse("cpu=1,mem=64m").map_err(explain("parse"))?);
    let created = world.session(options).await?;
    let got = world.connection.get_session(&id).await.map_err(explain("get"))?;
    for session in [&created, &got] {
        ensure!(session.id == id, "id {}", session.id);
        ensure!(session.application == application, "application {}", session.application);
        ensure!(session.state == SessionState::Open, "state {}", session.state);
        ensure!(session.priority == 9, "priority {}", session.priority);
        let counters = (session.pending, session.running, session.succeed, session.failed);
        ensure!(counters == (0, 0, 0, 0), "a new session has tasks: {counters:?}");
        let common_data = session.common_data::<Raw>().map_err(explain("decode"))?;
        ensure!(common_data.as_ref() == Some(&common), "common data {common_data:?}");
        let resources = session.resreq.as_ref().ok_or("the resources are lost")?;
        let parsed = ResourceRequirement::parse("cpu=1,mem=64m").map_err(explain("parse"))?;
        ensure!(format!("{resources:?}") == format!("{parsed:?}"), "resources {resources:?}");
    }
    Ok(())
}

async fn a_duplicate_id_is_refused(world: &World) -> Outcome {
    let session = world.echo_session("duplicate").await?;
    let again = SessionOptions::new(session.application.clone()).id(session.id.clone());
    let text = refused("create again", world.connection.create_session_with(again).await)?;
    ensure!(text.contains("already exists"), "text: {text}");
    Ok(())
}

async fn open_returns_the_open_session(world: &World) -> Outcome {
    let session = world.echo_session("open").await?;
    for _ in 0..2 {
        let opened = world.connection.open_session(&session.id, None).await.map_err(explain("open"))?;
        ensure!(opened.id == session.id, "id {}", opened.id);
        ensure!(opened.application == session.application, "application {}", opened.application);
        ensure!(opened.creation_time == session.creation_time, "it is another session");
    }
    Ok(())
}

async fn open_compares_the_specification(world: &World) -> Outcome {
    let application = world.echo_application("compare").await?;
    let other = world.echo_application("compare-other").await?;
    let id = world.name("compare");
    let base = || SessionOptions::new(application.clone()).id(id.clone()).max_instances(2);
    world.session(base()).await?;
    let mine = base().into_session_attributes().map_err(explain("attributes"))?;
    world.connection.open_session(&id, Some(&mine)).await.map_err(explain("the same specification"))?;
    let tokens_differ = base().token("service", "other").into_session_attributes().map_err(explain("attributes"))?;
    world.connection.open_session(&id, Some(&tokens_differ)).await.map_err(explain("tokens are not compared"))?;
    for (field, options) in [
        ("application", SessionOptions::new(other.clone()).id(id.clone()).max_instances(2)),
        ("max_instances", base().max_instances(3)),
        ("min_instances", base().min_instances(1)),
        ("priority", base().priority(1)),
        ("resreq", base().resreq("cpu=1,mem=77m")),
    ] {
        let attributes = options.into_session_attributes().map_err(explain("attributes"))?;
        let text = refused(field, world.connection.open_session(&id, Some(&attributes)).await)?;
        ensure!(text.contains("spec mismatch"), "{field}: {text}");
        ensure!(text.contains(field), "the field {field} is not named: {text}");
    }
    Ok(())
}

async fn open_or_create_creates_once(world: &World) -> Outcome {
    let application = world.echo_application("create-or-get").await?;
    let id = world.name("create-or-get");
    let options = || SessionOptions::new(application.clone()).id(id.clone());
    let open = || world.connection.open_or_create_session_with(id.clone(), options());
    let first = open().await.map_err(explain("first"))?;
    let second = open().await.map_err(explain("second"))?;
    ensure!(first.creation_time == second.creation_time, "it was created twice");
    Ok(())
}

async fn open_of_nothing_is_not_found(world: &World) -> Outcome {
    let text = refused("open", world.connection.open_session(&world.name("nothing"), None).await)?;
    ensure!(text.contains("not found"), "text: {text}");
    Ok(())
}

async fn open_of_a_closed_session_says_so(world: &World) -> Outcome {
    let session = world.echo_session("closed").await?;
    session.close().await.map_err(explain("close"))?;
    let text = refused("open", world.connection.open_session(&session.id, None).await)?;
    ensure!(text.contains("is not open"), "text: {text}");
    let text = refused("create task", session.create_task(None).await)?;
    ensure!(text.contains("is not open"), "a task for a closed session: {text}");
    Ok(())
}

async fn close_is_idempotent_and_keeps_the_session_listed(world: &World) -> Outcome {
    let session = world.echo_session("twice-closed").await?;
    session.close().await.map_err(explain("close"))?;
    session.close().await.map_err(explain("close again"))?;
    let listed = world.connection.list_sessions().await.map_err(explain("list"))?;
    let found = listed.iter().find(|listed| listed.id == session.id).ok_or("the closed session is not listed")?;
    ensure!(found.state == SessionState::Closed, "state {}", found.state);
    Ok(())
}

async fn close_with_running_tasks_is_refused(world: &World) -> Outcome {
    let session = world.echo_session("running").await?;
    let run = session.run::<_, Raw>(&Raw::text("sleep:2000:x")).await.map_err(explain("run"))?;
    let id = run.id().clone();
    eventually("the task runs", || async {
        Ok(session.get_task(&id).await.map_err(explain("get task"))?.state == TaskState::Running)
    })
    .await?;
    let text = refused("close", world.connection.close_session(&session.id).await)?;
    ensure!(text.contains("Cannot close session with running tasks"), "text: {text}");
    let got = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
    ensure!(got.state == SessionState::Open, "the refused close closed it: {}", got.state);
    let result = run.await.map_err(explain("await"))?;
    ensure!(result.is_succeed(), "the run ended {}", result.state);
    session.close().await.map_err(explain("close when idle"))
}

/// A shim no worker has: its tasks wait for ever, without an error.
async fn waiting_session(world: &World, stem: &str) -> Result<flame_rs::Session, String> {
    let mut attributes = world.echo_attributes();
    attributes.shim = Some(flame_rs::apis::Shim::Wasm);
    let application = world.register(stem, attributes).await?;
    world.session(SessionOptions::new(application)).await
}

async fn close_cancels_what_waits(world: &World) -> Outcome {
    let session = waiting_session(world, "cancelled").await?;
    let task = session.create_task(None).await.map_err(explain("create task"))?;
    session.close().await.map_err(explain("close"))?;
    let got = session.get_task(&task.id).await.map_err(explain("get task"))?;
    ensure!(got.state == TaskState::Cancelled, "state {}", got.state);
    Ok(())
}

async fn list_filters_by_application_state_and_ids(world: &World) -> Outcome {
    let application = world.echo_application("filter").await?;
    let other = world.echo_session("filter-other").await?;
    let open = world.session(SessionOptions::new(application.clone())).await?;
    let closed = world.session(SessionOptions::new(application.clone())).await?;
    closed.close().await.map_err(explain("close"))?;
    let ask = |filter: SessionFilter| async move {
        let sessions = world.connection.list_sessions_with(&filter).await.map_err(explain("list"))?;
        let mut ids: Vec<String> = sessions.into_iter().map(|session| session.id).collect();
        ids.sort();
        Ok::<_, String>(ids)
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let by_application = SessionFilter { application: Some(application.clone()), ..SessionFilter::default() };
    let got = ask(by_application.clone()).await?;
    ensure!(got == sorted(vec![open.id.clone(), closed.id.clone()]), "by application: {got:?}");
    let got = ask(SessionFilter { state: Some(SessionState::Closed), ..by_application.clone() }).await?;
    ensure!(got == vec![closed.id.clone()], "by application and state: {got:?}");
    let ids = vec![open.id.clone(), other.id.clone(), "no-such-session".into()];
    let got = ask(SessionFilter { ids, ..SessionFilter::default() }).await?;
    ensure!(got == sorted(vec![open.id.clone(), other.id.clone()]), "by ids: {got:?}");
    let got = ask(SessionFilter::default()).await?;
    ensure!(got.contains(&open.id) && got.contains(&other.id), "without filter: {got:?}");
    Ok(())
}

async fn delete_wants_a_closed_session(world: &World) -> Outcome {
    let session = world.echo_session("deleted").await?;
    refused("delete an open session", world.connection.delete_session(&session.id).await)?;
    session.close().await.map_err(explain("close"))?;
    world.connection.delete_session(&session.id).await.map_err(explain("delete"))?;
    let text = refused("get", world.connection.get_session(&session.id).await)?;
    ensure!(text.contains("not found"), "text: {text}");
    let text = refused("delete again", world.connection.delete_session(&session.id).await)?;
    ensure!(text.contains("not found"), "text: {text}");
    let again = SessionOptions::new(session.application.clone()).id(session.id.clone());
    let again = world.session(again).await?;
    let task = again.create_task(None).await.map_err(explain("create task"))?;
    ensure!(task.id == "1", "the tasks of the deleted session are still counted: {}", task.id);
    Ok(())
}

async fn delete_works_with_cancelled_tasks(world: &World) -> Outcome {
    let session = waiting_session(world, "delete-cancelled").await?;
    session.create_task(None).await.map_err(explain("create task"))?;
    session.close().await.map_err(explain("close"))?;
    world.connection.delete_session(&session.id).await.map_err(explain("delete"))
}

async fn suspend_holds_tasks_and_resume_lets_them_run(world: &World) -> Outcome {
    let session = world.echo_session("suspend").await?;
    let first = session.run::<_, Raw>(&Raw::text("sleep:500:x")).await.map_err(explain("run"))?;
    let id = first.id().clone();
    eventually("the task runs", || async {
        Ok(session.get_task(&id).await.map_err(explain("get task"))?.state != TaskState::Pending)
    })
    .await?;
    session.suspend().await.map_err(explain("suspend"))?;
    let first = first.await.map_err(explain("the running task finishes"))?;
    ensure!(first.is_succeed(), "the run ended {}", first.state);
    eventually("the session is suspended", || async {
        let got = world.connection.get_session(&session.id).await.map_err(explain("get"))?;
        ensure!(
            matches!(got.state, SessionState::Suspending | SessionState::Suspended),
            "state {} after suspend",
            got.state
        );
        Ok(got.state == SessionState::Suspended)
    })
    .await?;
    let held = session.run::<_, Raw>(&Raw::text("held")).await.map_err(explain("a submit while suspended"))?;
    let task = session.get_task(held.id()).await.map_err(explain("get task"))?;
    ensure!(task.state == TaskState::Pending, "a task of a suspended session is {}", task.state);
    let resumed = session.resume().await.map_err(explain("resume"))?;
    ensure!(resumed.state == SessionState::Open, "state {} after resume", resumed.state);
    let held = held.await.map_err(explain("await"))?;
    ensure!(held.is_succeed(), "the held run ended {}", held.state);
    let again = session.resume().await.map_err(explain("resume an open session"))?;
    ensure!(again.state == SessionState::Open, "state {}", again.state);
    Ok(())
}

async fn impossible_instance_counts_are_refused(world: &World) -> Outcome {
    let application = world.echo_application("impossible").await?;
    for (why, options) in [
        ("max below min", SessionOptions::new(application.clone()).min_instances(3).max_instances(2)),
        ("max of zero", SessionOptions::new(application.clone()).max_instances(0)),
    ] {
        let text = refused(why, world.connection.create_session_with(options).await)?;
        ensure!(text.contains("instances"), "{why}: {text}");
    }
    Ok(())
}

async fn hostile_ids_are_refused(world: &World) -> Outcome {
    let application = world.echo_application("hostile").await?;
    for id in ["../x", "a/b", "..", "a\\b", "a\nb", "x".repeat(10_000_000).as_str()] {
        let options = SessionOptions::new(application.clone()).id(id);
        let shown: String = id.chars().take(20).collect();
        let text = refused(&shown, world.connection.create_session_with(options).await)?;
        ensure!(text.len() < 2000, "the whole id comes back in the error: {} bytes", text.len());
    }
    Ok(())
}

async fn unknown_ids_are_not_found(world: &World) -> Outcome {
    let id = world.name("unknown");
    for (step, outcome) in [
        ("get", world.connection.get_session(&id).await.map(drop)),
        ("close", world.connection.close_session(&id).await),
        ("delete", world.connection.delete_session(&id).await),
        ("suspend", world.connection.suspend_session(&id).await.map(drop)),
        ("resume", world.connection.resume_session(&id).await.map(drop)),
    ] {
        let text = refused(step, outcome)?;
        ensure!(text.contains("not found"), "{step}: {text}");
    }
    Ok(())
}
