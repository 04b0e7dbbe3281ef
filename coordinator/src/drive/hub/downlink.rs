//! What the machine tells a worker, turned into frames. The machine holds no payloads: a task's input and a session's
//! common data are read from their rows here, as late as possible.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_machine::effect::Order;
use flame_machine::row::{Row, RowKey, Table};
use flame_proto::ha;
use flame_proto::ha::worker_down::Frame;
use flame_storage::{CodecError, RowReader, Space, codec};
use flame_types::{Epoch, ExecutorKey, Resources, SessionKey, TaskNo, Token};
use tokio::sync::mpsc;

use super::attach::Down;
use super::inputs::InputRow;
use super::leases::{DETACHED_MAX, SILENT_MAX};
use super::{Batch, Hub};

/// An Assign frame is sent once it has this many bytes of inputs.
const ASSIGN_BYTES_MAX: usize = 1 << 20;

/// Why a worker cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("its connection is closed")]
    Gone,
    #[error("the state could not be read: {0}")]
    Storage(#[from] flame_storage::Error),
    #[error("a row could not be read: {0}")]
    Codec(#[from] CodecError),
}

/// Sends orders as they come; ends only with a failure.
/// `level`: the highest feature level that the worker understands.
pub(super) async fn run(hub: &Hub, mut orders: mpsc::Receiver<Batch>, down: &Down, level: u32) -> Failure {
    let mut frames = Frames { hub, rows: hub.inner.consensus.rows(), last: None, down, level };
    while let Some(batch) = orders.recv().await {
        if let Err(failure) = frames.send_batch(batch).await {
            return failure;
        }
    }
    Failure::Gone
}

struct Frames<'a> {
    hub: &'a Hub,
    rows: RowReader,
    /// The inputs of the submit that was looked at last, while a batch is sent: tasks of one submit follow each other.
    last: Option<Arc<InputRow>>,
    down: &'a Down,
    level: u32,
}

impl Frames<'_> {
    async fn send_batch(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut assign = ha::Assign::default();
        let mut assign_bytes = 0;
        for order in batch.orders {
            if let Order::Assign { executor, session, task, attempt, token, timeout_ms } = order {
                let input = match &batch.input {
                    Some(known) if known.token == token => Some(known.input.clone()),
                    _ => self.row_of(session, task)?.map(|row| row.input(task)),
                };
                // Its session was deleted meanwhile: a Cancel or Stop follows.
                let Some(input) = input else { continue };
                let task = ha::Task {
                    token: token.0,
                    executor: executor.0,
                    session: session.0,
                    task: task.0,
                    attempt,
                    input: input.map(|payload| payload.0),
                    timeout_ms: timeout_ms.unwrap_or(0),
                };
                assign_bytes += task.input.as_ref().map_or(0, Bytes::len);
                assign.tasks.push(task);
                if assign_bytes < ASSIGN_BYTES_MAX {
                    continue;
                }
            }
            if !assign.tasks.is_empty() {
                self.send(Frame::Assign(std::mem::take(&mut assign))).await?;
                assign_bytes = 0;
            }
            if let Some(frame) = self.frame(batch.epoch, order)? {
                self.send(frame).await?;
            }
        }
        self.last = None;
        if !assign.tasks.is_empty() {
            self.send(Frame::Assign(assign)).await?;
        }
        Ok(())
    }

    /// The frame of an order that is not a task.
    fn frame(&mut self, epoch: Epoch, order: Order) -> Result<Option<Frame>, Failure> {
        let numbers = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.0).collect();
        Ok(match order {
            Order::Welcome { settled, lapsed } => Some(Frame::Welcome(ha::Welcome {
                feature_level: self.hub.inner.consensus.level().with(self.level),
                cluster_id: self.hub.inner.cluster_id.clone(),
                epoch: epoch.0,
                settled: numbers(settled),
                endpoints: self.hub.worker_endpoints(),
                term: self.hub.term().unwrap_or_default().0,
                lease_ms: millis(SILENT_MAX),
                detached_lease_ms: millis(DETACHED_MAX),
                lapsed,
                client_endpoints: self.hub.client_endpoints(),
            })),
            Order::Start { executor, session, resources } => self.start(executor, session, resources)?,
            Order::Recall { tokens } => Some(Frame::Recall(ha::Recall { tokens: numbers(tokens) })),
            Order::Cancel { tokens } => Some(Frame::Cancel(ha::Cancel { tokens: numbers(tokens) })),
            Order::Stop { executor } => Some(Frame::Stop(ha::Stop { executor: executor.0 })),
            Order::Recorded { tokens } => Some(Frame::Recorded(ha::Recorded { tokens: numbers(tokens) })),
            Order::Assign { .. } => None,
        })
    }

    /// A Start with everything the worker needs to run the service. `None` when the session is gone meanwhile: then a
    /// Stop follows.
    fn start(
        &self,
        executor: ExecutorKey,
        session: SessionKey,
        resources: Resources,
    ) -> Result<Option<Frame>, Failure> {
        let Some(Row::SessionSpec(row)) = self.live(&RowKey::session(Table::SessionSpec, session))? else {
            return Ok(None);
        };
        let Some(Row::App(app)) = self.live(&RowKey::app(&row.spec.application))? else { return Ok(None) };
        let common_data = match row.common_data_bytes {
            Some(_) => self.bulk(&RowKey::session(Table::CommonData, session))?,
            None => None,
        };
        let common_data = match common_data {
            Some(Row::CommonData(payload)) => Some(payload.0),
            _ => None,
        };
        let application = ha::Application {
            name: row.spec.application.to_string(),
            shim: app.spec.shim.number(),
            image: app.spec.image,
            command: app.spec.command,
            arguments: app.spec.arguments,
            environments: app.spec.environments,
            working_directory: app.spec.working_directory,
            url: app.spec.url,
            installer: app.spec.installer,
        };
        Ok(Some(Frame::Start(ha::Start {
            executor: executor.0,
            session: session.0,
            session_id: row.id.to_string(),
            resources: Some(ha::Resources { cpu: resources.cpu, memory: resources.memory, gpu: resources.gpu }),
            application: Some(application),
            common_data,
            tokens: row.spec.tokens,
            batch_size: row.spec.batch_size,
        })))
    }

    fn row_of(&mut self, session: SessionKey, task: TaskNo) -> Result<Option<Arc<InputRow>>, Failure> {
        if !self.last.as_ref().is_some_and(|row| row.holds(session, task)) {
            self.last = self.hub.inner.inputs.of(&self.rows, session, task)?;
        }
        Ok(self.last.clone())
    }

    fn live(&self, key: &RowKey) -> Result<Option<Row>, Failure> {
        self.row(Space::Live, key)
    }

    fn bulk(&self, key: &RowKey) -> Result<Option<Row>, Failure> {
        self.row(Space::Bulk, key)
    }

    fn row(&self, space: Space, key: &RowKey) -> Result<Option<Row>, Failure> {
        let Some(value) = self.rows.get(space, &key.0)? else { return Ok(None) };
        Ok(Some(codec::decode(value)?))
    }

    async fn send(&self, frame: Frame) -> Result<(), Failure> {
        self.down.send(Ok(ha::WorkerDown { frame: Some(frame) })).await.map_err(|_| Failure::Gone)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
