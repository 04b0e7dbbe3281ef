//! The Attach call of a cache node: it says Hello and, once that is in the log, has a lease and a stream.

use std::pin::Pin;

use flame_machine::command::{CacheHello, Command, LeaseEnd};
use flame_machine::reply::Reply;
use flame_proto::ha;
use flame_proto::ha::cache_down::Frame;
use flame_proto::ha::cache_nodes_server::{CacheNodes, CacheNodesServer};
use flame_types::{Epoch, NodeName};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::reports::Ended;
use super::{Greeting, Hub, Line, Told, downlink, reports, wire};
use crate::drive::batcher::{OnDrop, Parcel};
use crate::drive::hub::ORDER_BATCHES_MAX;
use crate::drive::hub::attach::{HELLO_PATIENCE, refusal_reason};
use crate::drive::opening;
use crate::drive::replies::unnumbered;

/// Frames down that wait for the connection.
const FRAMES_WAITING_MAX: usize = 64;

pub(super) type Down = mpsc::Sender<Result<ha::CacheDown, Status>>;

/// Both ways to a cache node, and the highest feature level that it understands.
struct Wire {
    up: Streaming<ha::CacheUp>,
    down: Down,
    level: u32,
}

/// The only frame that a cache node gets which is not let in.
type Last = Result<Frame, Status>;

impl Hub {
    /// The service of cache nodes, for the worker listener.
    #[must_use]
    pub fn caches_server(&self) -> CacheNodesServer<Hub> {
        CacheNodesServer::new(self.clone())
            .max_decoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
    }

    /// Reads the first frame and checks what can be checked without the log.
    async fn admit_cache(&self, up: &mut Streaming<ha::CacheUp>) -> Result<(CacheHello, u32, CancellationToken), Last> {
        let first = tokio::time::timeout(HELLO_PATIENCE, up.message()).await;
        let first = first.map_err(|_| Err(Status::deadline_exceeded("no CacheHello came")))?;
        let Some(ha::cache_up::Frame::Hello(hello)) = first.map_err(Err)?.and_then(|up| up.frame) else {
            return Err(Err(Status::invalid_argument("the first frame must be CacheHello")));
        };
        if let Some(refused) = self.other_cluster(&hello.cluster_id) {
            return Err(Ok(Frame::Refused(refused)));
        }
        opening::awaited(&self.inner.batcher, &self.inner.consensus).await;
        let Some(open) = self.opened() else { return Err(Ok(Frame::NotLeader(self.leads()))) };
        let level = hello.feature_level;
        let hello = wire::hello(hello).map_err(|message| {
            let reason = ha::refused::Reason::Invalid.into();
            Ok(Frame::Refused(ha::Refused { reason, message }))
        })?;
        Ok((hello, level, open))
    }

    async fn attach_cache_and_serve(self, hello: CacheHello, open: CancellationToken, wire: Wire) {
        let cache = hello.cache.clone();
        let (told, orders) = mpsc::channel(ORDER_BATCHES_MAX);
        let line = Line { told, end: open.child_token() };
        let last = match self.greet_cache(hello, &line).await {
            Some(Reply::Attached { epoch }) => {
                tracing::info!(cache = %cache, %epoch, "a cache node is attached");
                self.serve_cache(cache, epoch, line, orders, wire).await;
                return;
            }
            Some(Reply::Refused(refusal)) => {
                let reason = refusal_reason(&refusal).into();
                Frame::Refused(ha::Refused { reason, message: refusal.to_string() })
            }
            Some(_) | None => Frame::NotLeader(self.leads()),
        };
        // A node that went away needs no answer.
        let _ = wire.down.send(Ok(ha::CacheDown { frame: Some(last) })).await;
    }

    /// Proposes the Hello and waits until it is applied.
    async fn greet_cache(&self, hello: CacheHello, line: &Line) -> Option<Reply> {
        let cache = hello.cache.clone();
        let (ticket, reply) = self.inner.replies.ticket();
        self.table().caches.greeting.insert(ticket, Greeting { cache, line: line.clone() });
        let command = Command::CacheHello(Box::new(hello));
        let items = vec![unnumbered(self.inner.consensus.level(), ticket, command)];
        let submitted = self.inner.batcher.submit(Parcel { items, on_drop: OnDrop::Ticket(ticket) }).await.is_ok();
        let reply = if submitted { tokio::time::timeout(HELLO_PATIENCE, reply).await.ok()?.ok() } else { None };
        if reply.is_none() {
            self.inner.replies.give_up(ticket);
            self.table().caches.greeting.remove(&ticket);
        }
        reply
    }

    /// Serves one attached cache node until its stream, its lease or this node's term ends.
    async fn serve_cache(
        self,
        cache: NodeName,
        epoch: Epoch,
        line: Line,
        orders: mpsc::Receiver<Told>,
        Wire { up, down, level }: Wire,
    ) {
        tokio::select! {
            () = line.end.cancelled() => {}
            ended = reports::run(&self, &cache, epoch, up, &down) => match ended {
                // The node waits for the end of the stream, so that whoever waits for the node finds it gone.
                Ended::Goodbye => return self.part_cache(cache, epoch).await,
                Ended::Broken(reason) => tracing::info!(cache = %cache, reason, "a cache node's stream ended"),
            },
            () = downlink::run(&self, orders, &down, level) => {
                tracing::info!(cache = %cache, "a cache node cannot be reached");
            }
        }
        if self.table().caches.leases.detach(&cache, epoch) {
            self.propose_later(Command::CacheDetach { cache, epoch });
        }
        // Unless the node is gone already, it learns that it must look for a leader.
        let _ = down.try_send(Err(Status::unavailable("this coordinator ended the stream; say Hello again")));
    }

    async fn part_cache(&self, cache: NodeName, epoch: Epoch) {
        if !self.table().caches.leases.part(&cache, epoch) {
            return;
        }
        tracing::info!(cache = %cache, "a cache node said goodbye");
        self.expire(Command::CacheExpire { cache, epoch, end: LeaseEnd::Goodbye }).await;
    }
}

#[tonic::async_trait]
impl CacheNodes for Hub {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ha::CacheDown, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<ha::CacheUp>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut up = request.into_inner();
        let (down, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let hub = self.clone();
        tokio::spawn(async move {
            let last = match hub.admit_cache(&mut up).await {
                Ok((hello, level, open)) => {
                    hub.attach_cache_and_serve(hello, open, Wire { up, down, level }).await;
                    return;
                }
                Err(last) => last,
            };
            // A node that went away needs no answer.
            let _ = down.send(last.map(|frame| ha::CacheDown { frame: Some(frame) })).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}
