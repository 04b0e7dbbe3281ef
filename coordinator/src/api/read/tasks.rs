//! Reading tasks of this node, some at a time.

use flame_machine::row::FinishedRow;
use flame_machine::{State, view};
use flame_types::{SessionKey, TaskNo, WallMs};
use tonic::Status;

use super::rows::TaskRows;
use super::task::{Standing, TaskSnapshot, standing};
use crate::api::errors::ReadError;
use crate::drive::gateway::Gateway;

/// Most tasks that are looked at in one go: apply waits meanwhile.
pub const TASKS_PER_READ_MAX: usize = 256;

/// A go ends early once it has read this many bytes of inputs and outputs.
const BYTES_PER_READ: usize = 4 << 20;

/// So few tasks are read where the call is: their rows are nearly always still in memory, and a thread more on the way
/// costs as much as ten of them.
const READ_HERE_MAX: usize = 8;

/// A task, or `None` where there is none of this number.
pub type Found = (TaskNo, Option<TaskSnapshot>);

/// One task.
///
/// # Errors
/// UNAVAILABLE when the node stops, INTERNAL when its rows are damaged.
pub async fn task(gateway: &Gateway, session: SessionKey, number: TaskNo) -> Result<Option<TaskSnapshot>, Status> {
    let found = tasks(gateway, session, vec![number]).await?;
    Ok(found.into_iter().next().and_then(|(_, task)| task))
}

/// Tasks of these numbers, in this order: as many of them from the front as one go takes, at least one. The caller asks
/// again for the rest.
///
/// # Errors
/// As for [`task`].
pub async fn tasks(gateway: &Gateway, session: SessionKey, numbers: Vec<TaskNo>) -> Result<Vec<Found>, Status> {
    let standings = standings(gateway, session, numbers).await?;
    tasks_that_stand(gateway, session, standings).await.map(|(found, _)| found)
}

/// One task of which it is known how it stands.
///
/// # Errors
/// INTERNAL when its rows are damaged.
pub async fn task_that_stands(
    gateway: &Gateway,
    session: SessionKey,
    number: TaskNo,
    standing: Standing,
) -> Result<Option<TaskSnapshot>, Status> {
    let (found, _) = tasks_that_stand(gateway, session, vec![(number, standing)]).await?;
    Ok(found.into_iter().next().and_then(|(_, task)| task))
}

/// How a task has ended, as far as the rows of this node tell. For one task that is likely to be in memory still.
///
/// # Errors
/// INTERNAL when the rows are damaged.
pub fn ending(gateway: &Gateway, session: SessionKey, number: TaskNo) -> Result<Option<FinishedRow>, Status> {
    Ok(TaskRows::new(gateway.rows(), session).ending_of(number)?)
}

/// How tasks stand in memory: of the first [`TASKS_PER_READ_MAX`] of these numbers.
///
/// # Errors
/// UNAVAILABLE when the node stops.
pub async fn standings(
    gateway: &Gateway,
    session: SessionKey,
    mut numbers: Vec<TaskNo>,
) -> Result<Vec<(TaskNo, Standing)>, Status> {
    numbers.truncate(TASKS_PER_READ_MAX);
    let look =
        move |state: &State| numbers.into_iter().map(|number| (number, standing(state, session, number))).collect();
    Ok(gateway.with_state(look).await?)
}

/// The tasks of a session above `after`, in the order of their numbers: as many as one go takes; an empty list at the
/// end, and `None` when the session is gone. Tasks that have left are passed over.
///
/// # Errors
/// As for [`task`].
pub async fn tasks_above(
    gateway: &Gateway,
    session: SessionKey,
    mut after: TaskNo,
) -> Result<Option<Vec<TaskSnapshot>>, Status> {
    loop {
        let Some(page) = page_above(gateway, session, after).await? else { return Ok(None) };
        let Some((last, _)) = page.last() else { return Ok(Some(Vec::new())) };
        let last = *last;
        let found: Vec<TaskSnapshot> = page.into_iter().filter_map(|(_, task)| task).collect();
        if !found.is_empty() {
            return Ok(Some(found));
        }
        after = match next_above(gateway, session, last).await? {
            Some(next) => TaskNo(next.0 - 1),
            None => return Ok(Some(found)),
        };
    }
}

/// The first task above `after` that is kept or has not ended. Many neighbours may have left: they are not looked at one
/// by one.
async fn next_above(gateway: &Gateway, session: SessionKey, after: TaskNo) -> Result<Option<TaskNo>, Status> {
    let live = move |state: &State| view::live_tasks(state, session, after, 1).first().map(|task| task.no);
    let live = gateway.with_state(live).await?;
    let reader = gateway.rows();
    let read = move || TaskRows::new(reader, session).next_ended(after);
    let joined = tokio::task::spawn_blocking(read).await;
    let ended = joined.map_err(|error| Status::internal(format!("a read ended early: {error}")))??;
    Ok(live.into_iter().chain(ended).min())
}

async fn page_above(gateway: &Gateway, session: SessionKey, after: TaskNo) -> Result<Option<Vec<Found>>, Status> {
    let look = move |state: &State| {
        if !state.sessions().contains_key(&session) && !state.closed().contains_key(&session) {
            return None;
        }
        let numbers = (after.0 + 1..).map(TaskNo).take(TASKS_PER_READ_MAX);
        let standings = numbers.map(|number| (number, standing(state, session, number)));
        Some(standings.take_while(|(_, standing)| *standing != Standing::Unknown).collect())
    };
    let standings: Option<Vec<(TaskNo, Standing)>> = gateway.with_state(look).await?;
    let Some(standings) = standings else { return Ok(None) };
    tasks_that_stand(gateway, session, standings).await.map(|(found, _)| Some(found))
}

/// When a task was submitted that was applied here a moment ago: its row is still in memory.
///
/// # Errors
/// INTERNAL when the rows are damaged.
pub fn created(gateway: &Gateway, session: SessionKey, number: TaskNo) -> Result<Option<WallMs>, Status> {
    let mut rows = TaskRows::new(gateway.rows(), session);
    Ok(rows.inputs_of(number)?.map(|(_, row)| row.created))
}

/// Tasks of which it is known how they stand, in this order: as many of them from the front as one go takes, at least
/// one, and the others as they came.
///
/// # Errors
/// INTERNAL when their rows are damaged.
pub async fn tasks_that_stand(
    gateway: &Gateway,
    session: SessionKey,
    standings: Vec<(TaskNo, Standing)>,
) -> Result<(Vec<Found>, Vec<(TaskNo, Standing)>), Status> {
    let are_few = standings.len() <= READ_HERE_MAX;
    let mut rows = TaskRows::new(gateway.rows(), session);
    let read = move || -> Result<_, ReadError> {
        let mut found = Vec::with_capacity(standings.len());
        let mut bytes = 0;
        let mut standings = standings.into_iter();
        while bytes < BYTES_PER_READ
            && let Some((number, standing)) = standings.next()
        {
            let task = rows.task(number, standing)?;
            let payloads = task.iter().flat_map(|task| [&task.input, &task.output]).flatten();
            bytes += payloads.map(flame_types::Payload::len).sum::<usize>();
            found.push((number, task));
        }
        Ok((found, standings.collect()))
    };
    if are_few {
        return Ok(read()?);
    }
    let joined = tokio::task::spawn_blocking(read).await;
    Ok(joined.map_err(|error| Status::internal(format!("a read ended early: {error}")))??)
}
