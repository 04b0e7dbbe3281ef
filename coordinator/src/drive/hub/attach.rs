//! The Attach call: a worker says Hello and, once that is in the log, has a lease and a stream.

use std::pin::Pin;
use std::time::Duration;

use flame_machine::command::{Command, LeaseEnd};
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_proto::ha;
use flame_proto::ha::worker_hub_server::{WorkerHub, WorkerHubServer};
use flame_types::{Epoch, NodeName};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::uplink::Ended;
use super::{Greeting, Hub, ORDER_BATCHES_MAX, WorkerStream, downlink, uplink};
use crate::drive::batcher::{OnDrop, Parcel};
use crate::drive::opening;
use crate::drive::replies::unnumbered;

/// A Hello that is not applied by then is given up; the worker says it again.
pub(super) const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Frames down that wait for the connection. Few, since each may carry inputs: a worker that takes nothing is cut off
/// by its lease.
const FRAMES_WAITING_MAX: usize = 8;

pub(super) type Down = mpsc::Sender<Result<ha::WorkerDown, Status>>;
pub(super) type WeakDown = mpsc::WeakSender<Result<ha::WorkerDown, Status>>;

/// Both ways to a worker, and the highest feature level that it understands.
struct Wire {
    up: Streaming<ha::WorkerUp>,
    down: Down,
    level: u32,
}

impl Hub {
    /// The service for the worker listener.
    #[must_use]
    pub fn server(&self) -> WorkerHubServer<Hub> {
        WorkerHubServer::new(self.clone())
            .max_decoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
    }

    /// `Some` while the hub is open; cancelled when it closes.
    pub(super) fn opened(&self) -> Option<CancellationToken> {
        self.table().open.as_ref().map(|open| open.end.clone())
    }

    /// Who leads instead.
    pub(super) fn leads(&self) -> ha::NotLeader {
        ha::NotLeader { leader: self.leader_endpoint(), endpoints: self.worker_endpoints() }
    }

    fn not_leader(&self) -> ha::worker_down::Frame {
        ha::worker_down::Frame::NotLeader(self.leads())
    }

    /// Proposes the Hello and waits until it is applied.
    async fn greet(&self, hello: flame_machine::command::Hello, stream: &WorkerStream) -> Option<Reply> {
        let node = hello.node.clone();
        let (ticket, reply) = self.inner.replies.ticket();
        self.table().greeting.insert(ticket, Greeting { node, stream: stream.clone() });
        let parcel = Parcel {
            items: vec![unnumbered(self.inner.consensus.level(), ticket, Command::Hello(Box::new(hello)))],
            on_drop: OnDrop::Ticket(ticket),
        };
        let submitted = self.inner.batcher.submit(parcel).await.is_ok();
        let reply = if submitted { tokio::time::timeout(HELLO_PATIENCE, reply).await.ok()?.ok() } else { None };
        if reply.is_none() {
            self.inner.replies.give_up(ticket);
            self.table().greeting.remove(&ticket);
        }
        reply
    }

    /// Serves one attached worker until its stream, its lease or this node's term ends.
    async fn serve(
        self,
        node: NodeName,
        epoch: Epoch,
        stream: WorkerStream,
        orders: mpsc::Receiver<super::Batch>,
        Wire { up, down, level }: Wire,
    ) {
        let end = stream.end.clone();
        tokio::select! {
            () = end.cancelled() => {}
            ended = uplink::run(&self, &node, epoch, up, &down) => match ended {
                // The worker waits for the end of the stream, so that whoever waits for the worker finds it gone.
                Ended::Goodbye => return self.part(node, epoch).await,
                Ended::Broken(reason) => tracing::info!(node = %node, reason, "a worker's stream ended"),
            },
            failed = downlink::run(&self, orders, &down, level) => {
                tracing::info!(node = %node, reason = %failed, "a worker cannot be reached");
            }
        }
        if self.table().leases.detach(&node, epoch) {
            self.propose_later(Command::Detach { node, epoch });
        }
        // Unless the worker is gone already, it learns that it must look for a leader.
        let _ = down.try_send(Err(Status::unavailable("this coordinator ended the stream; say Hello again")));
    }

    /// A worker has said Goodbye: what the state still counts as held there is free at once. A proposal that does not
    /// make it is made again with the leases that run out, for as long as this node leads; after that it is the next
    /// leader's full period that frees it.
    async fn part(&self, node: NodeName, epoch: Epoch) {
        if !self.table().leases.part(&node, epoch) {
            return;
        }
        tracing::info!(node = %node, "a worker said goodbye; what it held goes elsewhere");
        self.expire(Command::ExpireNode { node, epoch, end: LeaseEnd::Goodbye }).await;
    }

    /// Proposes the expiry of a lease that its owner has given up.
    pub(super) async fn expire(&self, expiry: Command) {
        let (ticket, reply) = self.inner.replies.ticket();
        let items = vec![unnumbered(self.inner.consensus.level(), ticket, expiry.clone())];
        if self.inner.batcher.submit(Parcel { items, on_drop: OnDrop::Ticket(ticket) }).await.is_err() {
            self.inner.replies.give_up(ticket);
        }
        self.expiry_settled(&expiry, reply.await.is_ok());
    }
}

#[tonic::async_trait]
impl WorkerHub for Hub {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ha::WorkerDown, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<ha::WorkerUp>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut up = request.into_inner();
        let (down, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let hub = self.clone();
        tokio::spawn(async move {
            let last = match hub.admit(&mut up).await {
                Ok((hello, level, open)) => {
                    hub.attach_and_serve(hello, open, Wire { up, down, level }).await;
                    return;
                }
                Err(last) => last,
            };
            // A worker that went away needs no answer.
            let _ = down.send(last.map(|frame| ha::WorkerDown { frame: Some(frame) })).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

/// The only frame that a worker gets which is not let in.
type Last = Result<ha::worker_down::Frame, Status>;

impl Hub {
    /// Reads the first frame and checks what can be checked without the log.
    async fn admit(
        &self,
        up: &mut Streaming<ha::WorkerUp>,
    ) -> Result<(flame_machine::command::Hello, u32, CancellationToken), Last> {
        let first = tokio::time::timeout(HELLO_PATIENCE, up.message()).await;
        let first = first.map_err(|_| Err(Status::deadline_exceeded("no Hello came")))?;
        let Some(ha::worker_up::Frame::Hello(hello)) = first.map_err(Err)?.and_then(|up| up.frame) else {
            return Err(Err(Status::invalid_argument("the first frame must be Hello")));
        };
        if let Some(refused) = self.other_cluster(&hello.cluster_id) {
            return Err(Ok(ha::worker_down::Frame::Refused(refused)));
        }
        // Told of this leader while it still begins, a worker comes a moment early.
        opening::awaited(&self.inner.batcher, &self.inner.consensus).await;
        let Some(open) = self.opened() else { return Err(Ok(self.not_leader())) };
        let level = hello.feature_level;
        let hello = uplink::hello(hello).map_err(|why| Ok(refused(ha::refused::Reason::Invalid, why)))?;
        Ok((hello, level, open))
    }

    /// What to say to somebody of another cluster.
    pub(super) fn other_cluster(&self, asked: &str) -> Option<ha::Refused> {
        let own = &self.inner.cluster_id;
        let message = || format!("this is cluster {own:?}, not {asked:?}");
        let reason = ha::refused::Reason::OtherCluster.into();
        (!asked.is_empty() && asked != own).then(|| ha::Refused { reason, message: message() })
    }

    async fn attach_and_serve(self, hello: flame_machine::command::Hello, open: CancellationToken, wire: Wire) {
        let node = hello.node.clone();
        let (orders_tx, orders) = mpsc::channel(ORDER_BATCHES_MAX);
        let stream = WorkerStream { orders: orders_tx, end: open.child_token(), frames: wire.down.downgrade() };
        let last = match self.greet(hello, &stream).await {
            Some(Reply::Attached { epoch }) => {
                tracing::info!(node = %node, %epoch, "a worker is attached");
                self.serve(node, epoch, stream, orders, wire).await;
                return;
            }
            Some(Reply::Refused(refusal)) => refused(refusal_reason(&refusal), refusal.to_string()),
            Some(_) | None => self.not_leader(),
        };
        // A worker that went away needs no answer.
        let _ = wire.down.send(Ok(ha::WorkerDown { frame: Some(last) })).await;
    }
}

fn refused(reason: ha::refused::Reason, message: String) -> ha::worker_down::Frame {
    ha::worker_down::Frame::Refused(ha::Refused { reason: reason.into(), message })
}

pub(super) fn refusal_reason(refusal: &Refusal) -> ha::refused::Reason {
    match refusal {
        Refusal::Superseded(_) => ha::refused::Reason::Superseded,
        Refusal::NameInUse(_) => ha::refused::Reason::NameInUse,
        Refusal::StaleHello(_) => ha::refused::Reason::StaleHello,
        _ => ha::refused::Reason::Invalid,
    }
}
