//! A task that is alone: one call submits it, waits for its end and brings its result.
//!
//! **Invariant:** once the task is submitted, no error says that nothing was done.

use flame_machine::State;
use flame_machine::command::{Command, Submit};
use flame_machine::reply::Reply;
use flame_proto::ha;
use flame_proto::ha::run_task::Which;
use flame_types::{SessionKey, TaskNo};
use tokio::time::timeout_at;
use tonic::Status;

use super::command;
use super::frames::task_result;
use crate::api::call::Call;
use crate::api::frontend::{found_session, known_id, missing_task, session_deleted, stopping};
use crate::api::read::{self, Standing};
use crate::drive::gateway::Gateway;
use crate::drive::results::{EndedTask, EntryResults, Results, ResultsChange};

/// Serves the call.
pub(super) async fn run(
    gateway: &Gateway,
    call: Call,
    message: ha::RunTask,
    idempotency_key: Option<[u8; 16]>,
) -> Result<ha::RanTask, Status> {
    let ha::RunTask { session_id, which, options } = message;
    let id = known_id(&session_id)?;
    match which {
        Some(Which::Submit(input)) => {
            let submit = Box::new(Submit { idempotency_key, ..command::submit_one(id, input, options) });
            let submitted = call.change(gateway, Command::Lone { submit, ahead: None }).await?;
            let Reply::Submitted { session, first, .. } = submitted else {
                return Err(Status::internal("a submit was answered with something else"));
            };
            let ended = Waiting::new(gateway, &session_id, session, first).end(call).await;
            ended.map_err(|status| call.made_but(status))
        }
        Some(Which::Wait(task)) => {
            let (session, task) = (found_session(gateway, call, &session_id).await?, TaskNo(task));
            let waiting = Waiting::new(gateway, &session_id, session, task);
            let look = move |state: &State| read::standing(state, session, task);
            let is_live = matches!(gateway.with_state(look).await?, Standing::Live { .. });
            if !is_live && waiting.recorded()?.is_none() {
                return Err(missing_task(gateway, session, &session_id, task).await);
            }
            waiting.end(call).await
        }
        None => Err(Status::invalid_argument("neither a task to submit is named nor one to wait for")),
    }
}

/// A caller that waits for the end of a task.
struct Waiting<'a> {
    gateway: &'a Gateway,
    session_id: &'a str,
    session: SessionKey,
    task: TaskNo,
    results: Results,
}

impl<'a> Waiting<'a> {
    /// Whatever is recorded from now on is not missed.
    fn new(gateway: &'a Gateway, session_id: &'a str, session: SessionKey, task: TaskNo) -> Self {
        Self { gateway, session_id, session, task, results: gateway.follow_results(session) }
    }

    /// The end of the task, or none when the caller wants an answer before.
    async fn end(mut self, call: Call) -> Result<ha::RanTask, Status> {
        let ended = match self.recorded()? {
            Some(ended) => Some(ended),
            None => match timeout_at(call.deadline, self.next()).await {
                Ok(ended) => Some(ended?),
                Err(_elapsed) => None,
            },
        };
        Ok(ha::RanTask { task: self.task.0, result: ended.map(task_result) })
    }

    async fn next(&mut self) -> Result<EndedTask, Status> {
        loop {
            let ended = match self.results.next().await {
                ResultsChange::Entries(entries) => entries.iter().find_map(|entry| self.ended_in(entry)),
                ResultsChange::Lost => self.recorded()?,
                ResultsChange::Gone => return Err(session_deleted(self.session_id)),
                ResultsChange::Stopped => return Err(stopping()),
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    fn ended_in(&self, entry: &EntryResults) -> Option<EndedTask> {
        let alone = entry.ended.iter().find(|ended| ended.task == self.task).cloned();
        let cancelled = || entry.cancelled.iter().any(|(first, last)| (*first..=*last).contains(&self.task));
        alone.or_else(|| cancelled().then(|| EndedTask::cancelled(self.task)))
    }

    /// The end that lies in the rows, if there is one. They are written before anybody is told.
    fn recorded(&self) -> Result<Option<EndedTask>, Status> {
        let ending = read::ending(self.gateway, self.session, self.task)?;
        Ok(ending.map(|row| EndedTask { task: self.task, state: row.state, output: row.output, message: row.message }))
    }
}
