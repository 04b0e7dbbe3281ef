//! Following one task (0.6): its present state at once, every further state, and the end of the stream right after the
//! last one.
//!
//! The states come from this node's own apply, so a change of leader does not touch the stream.
//!
//! **Invariant:** the stream ends well only after a terminal state was sent: a published client would wait for ever
//! otherwise.

use flame_proto::convert::parse_task_id;
use flame_proto::v1;
use flame_types::{SessionKey, TaskNo, TaskState};
use tonic::Status;

use super::tasks::{deleted, found_session, has_left, missing, removed, shown};
use crate::api::call::Call;
use crate::api::dialect::Dialect;
use crate::api::errors::invalid;
use crate::api::outbox::{Messages, Outbox, outbox};
use crate::api::read::{self, TaskSnapshot};
use crate::drive::events::{SessionChange, Subscription};
use crate::drive::gateway::Gateway;

/// Why a stream ends although a task has not.
pub fn stopping() -> Status {
    Status::unavailable("this node is stopping; watch again at another one")
}

pub async fn watch(gateway: &Gateway, call: Call, message: v1::WatchTaskRequest) -> Result<Messages<v1::Task>, Status> {
    let number = parse_task_id(&message.task_id).map_err(|error| invalid(&error))?;
    let key = found_session(gateway, call, &message.session_id).await?;
    // Subscribe first, look second: nothing falls between.
    let changes = gateway.subscribe(key);
    let Some(first) = read::task(gateway, key, number).await? else {
        return Err(missing(gateway, key, &message.session_id, number).await);
    };
    let (outbox, stream) = outbox(gateway.message_room());
    let watch = Watch { gateway: gateway.clone(), key, session: message.session_id, number, dialect: call.dialect };
    tokio::spawn(watch.run(first, changes, outbox));
    Ok(stream)
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
            tokio::select! {
                changed = self.changed(&mut changes) => changed?,
                () = outbox.gone() => return Ok(()),
            }
            task = match read::task(&self.gateway, self.key, self.number).await? {
                Some(task) => task,
                None if has_left(&self.gateway, self.key, self.number).await? => {
                    return Err(removed(&self.session, self.number));
                }
                None => return Err(deleted(&self.session)),
            };
        }
    }

    /// Waits until the task may have another state.
    async fn changed(&self, changes: &mut Subscription) -> Result<(), Status> {
        loop {
            match changes.next().await {
                SessionChange::Tasks(ranges) => {
                    if ranges.iter().any(|(first, last)| (*first..=*last).contains(&self.number)) {
                        return Ok(());
                    }
                }
                SessionChange::Session => {}
                SessionChange::Resync => return Ok(()),
                SessionChange::Gone => return Err(deleted(&self.session)),
                SessionChange::Stopped => return Err(stopping()),
            }
        }
    }
}
