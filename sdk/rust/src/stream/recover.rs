//! Asking for each task when results may have been missed: the cluster was restored from a backup meanwhile, and positions
//! mean nothing any more, or retention has removed results while this client was away.

use flame_types::TaskNo;
use futures::StreamExt;
use futures::stream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::task::TaskEnd;
use crate::{Connection, FlameError};

/// Questions under way at a time.
const QUESTIONS_MAX: usize = 16;

/// Answers that wait for the driver.
const ANSWERS_WAITING_MAX: usize = 64;

/// Answers to come. Dropping it asks no more.
pub(super) struct Asking {
    answers: mpsc::Receiver<(TaskNo, Result<TaskEnd, FlameError>)>,
    _asker: AbortOnDropHandle<()>,
}

impl Asking {
    /// Asks for every task of these ranges, from the first to the last.
    pub(super) fn begin(connection: &Connection, session: &str, ranges: Vec<(TaskNo, TaskNo)>) -> Self {
        let (tell, answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        let (connection, session) = (connection.clone(), session.to_owned());
        let asker = tokio::spawn(async move {
            let tasks = ranges.into_iter().flat_map(|(first, last)| first.0..=last.0).map(TaskNo);
            let questions = tasks.map(|task| {
                let (connection, session) = (connection.clone(), session.clone());
                async move { (task, ask(&connection, &session, task).await) }
            });
            let mut answered = stream::iter(questions).buffer_unordered(QUESTIONS_MAX);
            while let Some((task, end)) = answered.next().await {
                // What has not ended is told by results.
                let Some(end) = end else { continue };
                if tell.send((task, end)).await.is_err() {
                    return;
                }
            }
        });
        Self { answers, _asker: AbortOnDropHandle::new(asker) }
    }
}

/// The next answer; none when all have come. Waits for ever while nothing was asked.
pub(super) async fn next(asking: &mut Option<Asking>) -> Option<(TaskNo, Result<TaskEnd, FlameError>)> {
    match asking {
        Some(asking) => asking.answers.recv().await,
        None => std::future::pending().await,
    }
}

async fn ask(connection: &Connection, session: &str, number: TaskNo) -> Option<Result<TaskEnd, FlameError>> {
    match connection.get_task(session, number).await {
        Ok(task) if task.is_terminal() => {
            let message = task.failure().map(str::to_owned);
            Some(Ok(TaskEnd { task: number, state: task.status.state, output: task.spec.output, message }))
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}
