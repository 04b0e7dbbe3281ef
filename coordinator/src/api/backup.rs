//! `flame.ha.v1.Backup`: the whole state as one file, from a node that works.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::backup_frame::Frame;
use flame_proto::ha::backup_server::Backup;
use flame_storage::{BackupHeader, BackupSource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::{Request, Response, Status};

use super::call::Call;
use super::outbox::{Messages, Outbox, outbox};
use crate::consensus::BackupError;
use crate::drive::gateway::Gateway;

/// Backups that are taken of one node at a time: each holds files that could otherwise leave the disk.
const BACKUPS_MAX: usize = 1;

/// A majority must confirm in this time what this node holds.
const CONFIRM_MAX: Duration = Duration::from_secs(10);

/// Between two words while the files are being made.
const WORD_EVERY: Duration = Duration::from_secs(1);

/// Who takes no block for this long is given up.
const BLOCK_MAX: Duration = Duration::from_secs(60);

/// The service of this node.
pub struct BackupService {
    gateway: Gateway,
    turns: Arc<Semaphore>,
}

impl BackupService {
    /// A service over this gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway, turns: Arc::new(Semaphore::new(BACKUPS_MAX)) }
    }

    /// Waits until this node holds everything that is acknowledged by now.
    async fn confirm(&self, call: Call) -> Result<(), Status> {
        let deadline = call.deadline.min(Instant::now() + CONFIRM_MAX);
        self.gateway.barrier(deadline).await.map(drop).map_err(|error| {
            let why = format!(
                "nobody confirms that this coordinator holds everything that was acknowledged: {error}. A stale backup takes \
                 what it has"
            );
            Status::unavailable(why)
        })
    }
}

#[tonic::async_trait]
impl Backup for BackupService {
    type TakeStream = Messages<ha::BackupFrame>;

    async fn take(&self, request: Request<ha::TakeBackupRequest>) -> Result<Response<Self::TakeStream>, Status> {
        let call = Call::of(request.metadata());
        let stale = request.into_inner().stale;
        let turn = self.turns.clone().try_acquire_owned().map_err(|_none| {
            Status::failed_precondition(
                "a backup of this coordinator is being taken already; take one of another, or wait",
            )
        })?;
        if !stale {
            self.confirm(call).await?;
        }
        let (down, frames) = outbox(self.gateway.message_room());
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            if let Err(status) = give(&gateway, !stale, &down, turn).await {
                down.fail(status).await;
            }
        });
        Ok(Response::new(frames))
    }
}

async fn give(
    gateway: &Gateway,
    confirmed: bool,
    down: &Outbox<ha::BackupFrame>,
    _turn: OwnedSemaphorePermit,
) -> Result<(), Status> {
    let mut source = talking(down, gateway.take_backup(confirmed)).await?.map_err(|error| status(&error))?;
    send(down, Frame::Begun(begun(source.header()))).await?;
    loop {
        let (rest, piece) = next(source).await?;
        source = rest;
        match piece {
            Some(data) => send(down, Frame::Data(data)).await?,
            None => break,
        }
    }
    let (bytes, crc32c) = source.passed();
    tracing::info!(bytes, "a backup was given away");
    send(down, Frame::Done(ha::BackupDone { bytes, crc32c })).await
}

/// Waits for something, and says meanwhile that this node is at work.
async fn talking<T>(down: &Outbox<ha::BackupFrame>, work: impl Future<Output = T>) -> Result<T, Status> {
    let mut words = interval(WORD_EVERY);
    words.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            _ = words.tick() => send(down, Frame::Preparing(ha::BackupPreparing {})).await?,
        }
    }
}

async fn next(mut source: BackupSource) -> Result<(BackupSource, Option<bytes::Bytes>), Status> {
    let read = move || source.next_piece().map(|piece| (source, piece));
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| Status::internal(error.to_string()))
}

async fn send(down: &Outbox<ha::BackupFrame>, frame: Frame) -> Result<(), Status> {
    match timeout(BLOCK_MAX, down.send(ha::BackupFrame { frame: Some(frame) })).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(Status::cancelled("nobody takes the backup any more")),
        Err(_elapsed) => Err(Status::deadline_exceeded("nobody took the next piece of the backup in time")),
    }
}

fn begun(header: &BackupHeader) -> ha::BackupBegun {
    let applied = header.manifest.applied;
    ha::BackupBegun {
        cluster_id: header.cluster_id.clone(),
        coordinator: header.node.0,
        index: applied.map_or(0, |applied| applied.index),
        term: applied.map_or(0, |applied| applied.leader_id.term),
        digest: format!("{:032x}", header.digest),
        generation: header.generation.0,
        feature_level: header.feature_level,
        version: header.version.clone(),
        confirmed: header.confirmed,
        content_bytes: header.manifest.bytes(),
    }
}

fn status(error: &BackupError) -> Status {
    let text = error.to_string();
    match error {
        BackupError::Empty => Status::failed_precondition(text),
        BackupError::Stopped => Status::unavailable(text),
        BackupError::Storage(_) | BackupError::Row(_) => Status::internal(text),
    }
}
