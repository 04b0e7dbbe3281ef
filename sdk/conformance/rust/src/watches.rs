//! Watches: one stream for many tasks, finished and unknown tasks, and what an informer sees.

use std::sync::Arc;

use flame_rs::apis::{FlameError, TaskState};
use flame_rs::client::{Task, TaskInformer};

use crate::check::{Check, Outcome};
use crate::world::{Raw, World, explain};
use crate::{check_list, ensure};

pub fn checks() -> Vec<Check> {
    check_list!("watches":
        a_finished_task_is_told_at_once,
        an_informer_sees_the_end_and_never_goes_back,
        an_informer_sees_the_event_of_a_failure,
        one_session_serves_many_watches_one_after_the_other,
        an_unknown_task_ends_without_killing_the_others,
    )
}

/// Keeps what it is told.
#[derive(Default)]
struct Diary {
    tasks: Vec<Task>,
    errors: Vec<FlameError>,
}

impl TaskInformer for Diary {
    fn on_update(&mut self, task: Task) {
        self.tasks.push(task);
    }

    fn on_error(&mut self, error: FlameError) {
        self.errors.push(error);
    }
}

async fn a_finished_task_is_told_at_once(world: &World) -> Outcome {
    let session = world.echo_session("finished").await?;
    let run = session.run::<_, Raw>(&Raw::text("x")).await.map_err(explain("run"))?;
    let id = run.id().clone();
    run.await.map_err(explain("await"))?;
    let diary = stdng::new_ptr(Diary::default());
    session.watch_task(session.id.clone(), id, diary.clone()).await.map_err(explain("watch"))?;
    let diary = diary.lock();
    ensure!(diary.errors.is_empty(), "error {:?}", diary.errors);
    let last = diary.tasks.last().ok_or("nothing was told")?;
    ensure!(last.state == TaskState::Succeed, "state {}", last.state);
    ensure!(last.output.as_deref() == Some(b"x".as_slice()), "output {:?}", last.output);
    Ok(())
}

async fn an_informer_sees_the_end_and_never_goes_back(world: &World) -> Outcome {
    let session = world.echo_session("informer").await?;
    let diary = stdng::new_ptr(Diary::default());
    let input = Some("sleep:300:x".into());
    session.run_task(input, diary.clone()).await.map_err(explain("run task"))?;
    let diary = diary.lock();
    let states: Vec<i32> = diary.tasks.iter().map(|task| task.state as i32).collect();
    ensure!(states.is_sorted(), "states go back: {states:?}");
    ensure!(states.last() == Some(&(TaskState::Succeed as i32)), "states {states:?}");
    Ok(())
}

async fn an_informer_sees_the_event_of_a_failure(world: &World) -> Outcome {
    let session = world.echo_session("informer-failure").await?;
    let diary = stdng::new_ptr(Diary::default());
    session.run_task(Some("fail:broken".into()), diary.clone()).await.map_err(explain("run task"))?;
    let diary = diary.lock();
    let last = diary.tasks.last().ok_or("nothing was told")?;
    ensure!(last.state == TaskState::Failed, "state {}", last.state);
    let told = last
        .events
        .iter()
        .any(|event| event.code == 3 && event.message.as_ref().is_some_and(|message| message.contains("broken")));
    ensure!(told, "events {:?}", last.events);
    Ok(())
}

async fn one_session_serves_many_watches_one_after_the_other(world: &World) -> Outcome {
    let session = world.echo_session("one-stream").await?;
    for number in 0..5 {
        let input = Raw::text(format!("{number}"));
        let run = session.run::<_, Raw>(&input).await.map_err(explain("run"))?;
        let result = run.await.map_err(explain("await"))?;
        ensure!(result.output == Some(input), "run {number}: {:?}", result.output);
    }
    Ok(())
}

/// No error shape exists for one task of a stream, so the end of an unknown task is a failed task with a reason.
async fn an_unknown_task_ends_without_killing_the_others(world: &World) -> Outcome {
    let session = Arc::new(world.echo_session("unknown-watch").await?);
    let run = session.run::<_, Raw>(&Raw::text("sleep:1000:x")).await.map_err(explain("run"))?;
    let diary = stdng::new_ptr(Diary::default());
    // Whether this ends in an error or in a failed task is the client's affair; it must end.
    let watched = session.watch_task(session.id.clone(), "4711".into(), diary.clone()).await;
    {
        let diary = diary.lock();
        let failed = diary.tasks.last().is_some_and(|task| task.state == TaskState::Failed && !task.events.is_empty());
        ensure!(failed || watched.is_err(), "an unknown task was told as {:?}", diary.tasks.last().map(|t| t.state));
    }
    let result = run.await.map_err(explain("the other run on the same stream"))?;
    ensure!(result.is_succeed(), "the other run ended {}", result.state);
    Ok(())
}
