//! Following one task (0.6): its present state, every further state, and the end of the stream right after the last one.
//! A state that is not the last waits a moment before it is told: a task that ends within it has one message.
//!
//! The states come from this node's own apply, so a change of leader does not touch the stream. Nor does it take the
//! leader to open one: a task of an open session that this node knows is served as this node knows it, and only one that
//! it does not know yet is looked for again once this node has all that was acknowledged anywhere.
//!
//! **Invariant:** the stream ends well only after a terminal state was sent: a published client would wait for ever
//! otherwise.

use flame_machine::{State, view};
use flame_proto::convert::parse_task_id;
use flame_proto::v1;
use flame_types::{SessionKey, TaskNo, TaskState};
use tonic::Status;

use super::sessions::known_id;
use super::tasks::{deleted, found_session, has_left, missing, removed, shown};
use crate::api::call::Call;
use crate::api::dialect::Dialect;
use crate::api::errors::invalid;
use crate::api::outbox::{Messages, Outbox, outbox};
use crate::api::read::{self, Standing, TaskSnapshot};
use crate::drive::events::{MOVES_LINGER, SessionChange, Subscription, TaskRange};
use crate::drive::gateway::Gateway;

/// Why a stream ends although a task has not.
pub fn stopping() -> Status {
    Status::unavailable("this node is stopping; watch again at another one")
}

pub async fn watch(gateway: &Gateway, call: Call, message: v1::WatchTaskRequest) -> Result<Messages<v1::Task>, Status> {
    let number = parse_task_id(&message.task_id).map_err(|error| invalid(&error))?;
    let session = message.session_id;
    let id = known_id(&session)?;
    let open_here = move |state: &State| {
        let key = view::find_session(state, id.as_str())?;
        state.sessions().contains_key(&key).then_some(key)
    };
    let (key, first, changes) = match look(gateway, number, open_here).await? {
        Some((key, first, changes)) => (key, first, changes),
        None => {
            let key = found_session(gateway, call, &session).await?;
            match look(gateway, number, move |_: &State| Some(key)).await? {
                Some(found) => found,
                None => return Err(missing(gateway, key, &session, number).await),
            }
        }
    };
    let (outbox, stream) = outbox(gateway.message_room());
    let watch = Watch { gateway: gateway.clone(), key, session, number, dialect: call.dialect };
    tokio::spawn(watch.run(first, changes, outbox));
    Ok(stream)
}

/// A task of the session that is found so, and the changes of that session from then on. `None`: this node knows no such
/// task.
async fn look(
    gateway: &Gateway,
    number: TaskNo,
    find: impl FnOnce(&State) -> Option<SessionKey> + Send + 'static,
) -> Result<Option<(SessionKey, TaskSnapshot, Subscription)>, Status> {
    let followed = gateway.clone();
    let look = move |state: &State| {
        let key = find(state)?;
        let standing = read::standing(state, key, number);
        // Subscribed between two entries: nothing falls between the look and the first change.
        (standing != Standing::Unknown).then(|| (key, standing, followed.subscribe(key)))
    };
    let Some((key, standing, changes)) = gateway.with_state(look).await? else { return Ok(None) };
    let task = read::task_that_stands(gateway, key, number, standing).await?;
    Ok(task.map(|task| (key, task, changes)))
}

struct Watch {
    gateway: Gateway,
    key: SessionKey,
    session: String,
    number: TaskNo,
    dialect: Dialect,
}

impl Watch {
    async fn run(self, first: TaskSnapshot, changes: Subscription, outbox: Outbox<v1::Task>) {
        if let Err(status) = self.follow(first, changes, &outbox).await {
            outbox.fail(status).await;
        }
    }

    /// Returns well once the last state is sent, or when nobody listens any more.
    async fn follow(
        &self,
        first: TaskSnapshot,
        mut changes: Subscription,
        outbox: &Outbox<v1::Task>,
    ) -> Result<(), Status> {
        let mut task = first;
        // The first state lingers as moves do: a short task has ended by then, and one message tells all.
        if !task.state.is_terminal()
            && let Ok(change) = tokio::time::timeout(MOVES_LINGER, self.changed(&mut changes)).await
        {
            task = self.look_again(change?).await?;
        }
        let mut sent: Option<TaskState> = None;
        loop {
            let state = task.state;
            if sent != Some(state) {
                sent = Some(state);
                if outbox.send(shown(&self.session, task, self.dialect)).await.is_err() {
                    return Ok(());
                }
            }
            if state.is_terminal() {
                return Ok(());
            }
            let change = tokio::select! {
                change = self.changed(&mut changes) => change?,
                () = outbox.gone() => return Ok(()),
            };
            task = self.look_again(change).await?;
        }
    }

    async fn look_again(&self, change: Change) -> Result<TaskSnapshot, Status> {
        let found = match change {
            Change::Ended => read::task_that_stands(&self.gateway, self.key, self.number, Standing::Ended).await?,
            Change::Any => read::task(&self.gateway, self.key, self.number).await?,
        };
        match found {
            Some(task) => Ok(task),
            None if has_left(&self.gateway, self.key, self.number).await? => Err(removed(&self.session, self.number)),
            None => Err(deleted(&self.session)),
        }
    }

    /// Waits until the task may have another state.
    async fn changed(&self, changes: &mut Subscription) -> Result<Change, Status> {
        let is_in = |ranges: &[TaskRange]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&self.number));
        loop {
            match changes.next().await {
                SessionChange::Tasks { ended, .. } if is_in(&ended) => return Ok(Change::Ended),
                SessionChange::Tasks { moved, .. } if is_in(&moved) => return Ok(Change::Any),
                SessionChange::Tasks { .. } | SessionChange::Session => {}
                SessionChange::Resync => return Ok(Change::Any),
                SessionChange::Gone => return Err(deleted(&self.session)),
                SessionChange::Stopped => return Err(stopping()),
            }
        }
    }
}

/// What may have happened to the task.
enum Change {
    /// It has ended: its rows tell all.
    Ended,
    /// Anything.
    Any,
}
