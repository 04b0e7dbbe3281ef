//! The leader's end of the links of other nodes: their commands go into the batcher, their read rounds to Raft.

use std::pin::Pin;
use std::sync::Arc;

use flame_proto::ha;
use flame_proto::ha::forward_server::{Forward, ForwardServer};
use flame_types::{ClientId, CoordinatorId, Term};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::batcher::{BatcherHandle, DropSignal, OnDrop, Parcel};
use super::clients::ClientLeases;
use super::opening;
use super::shortage::Shortage;
use crate::consensus::Consensus;

/// Frames down that wait for the connection; none is large.
const FRAMES_WAITING_MAX: usize = 64;

/// Rounds of one link that are being confirmed. A gateway has one at a time, and gives each some time before the next.
const ROUNDS_MAX: usize = 64;

/// Serves the links of other nodes.
pub struct ForwardService {
    consensus: Consensus,
    batcher: BatcherHandle,
    leases: ClientLeases,
    shortage: Shortage,
}

type Down = mpsc::Sender<Result<ha::ForwardDown, Status>>;

impl ForwardService {
    /// The service for the peer listener.
    #[must_use]
    pub fn server(
        consensus: Consensus,
        batcher: BatcherHandle,
        leases: ClientLeases,
        shortage: Shortage,
    ) -> ForwardServer<Self> {
        ForwardServer::new(Self { consensus, batcher, leases, shortage })
            .max_decoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Forward for ForwardService {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<ha::ForwardDown, Status>> + Send>>;

    async fn open(&self, request: Request<Streaming<ha::ForwardUp>>) -> Result<Response<Self::OpenStream>, Status> {
        let mut up = request.into_inner();
        let (down, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let (consensus, batcher, leases) = (self.consensus.clone(), self.batcher.clone(), self.leases.clone());
        let (rounds, shortage) = (Arc::new(Semaphore::new(ROUNDS_MAX)), self.shortage.clone());
        // The header comes right behind the request: the caller waits for the response before it sends more.
        let node = match up.message().await?.and_then(|up| up.frame) {
            Some(ha::forward_up::Frame::Header(header)) => self.consensus.admit(Some(&header))?,
            _ => return Err(Status::invalid_argument("the first frame must be the header")),
        };
        let link = LinkServer { node, consensus, batcher, leases, shortage, down, rounds };
        tokio::spawn(link.run(up));
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

struct LinkServer {
    /// Who is at the other end.
    node: CoordinatorId,
    consensus: Consensus,
    batcher: BatcherHandle,
    leases: ClientLeases,
    shortage: Shortage,
    down: Down,
    rounds: Arc<Semaphore>,
}

impl LinkServer {
    async fn run(self, mut up: Streaming<ha::ForwardUp>) {
        // Told of this leader while it still begins, another node's link comes a moment early.
        opening::awaited(&self.batcher, &self.consensus).await;
        let mut open = self.batcher.watch_open();
        let term = *open.borrow_and_update();
        if term.is_none() {
            self.not_leader().await;
            return;
        }
        let dropped = DropSignal::default();
        loop {
            tokio::select! {
                biased;
                () = until_other(&mut open, term) => {
                    self.not_leader().await;
                    return;
                }
                () = dropped.raised() => {
                    let reason = "an entry did not make it into the log".into();
                    self.send(ha::forward_down::Frame::Dropped(ha::Dropped { reason })).await;
                }
                frame = up.message() => {
                    let Ok(Some(ha::ForwardUp { frame: Some(frame) })) = frame else { return };
                    if self.on_frame(frame, &dropped).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn on_frame(&self, frame: ha::forward_up::Frame, dropped: &DropSignal) -> Result<(), ()> {
        match frame {
            ha::forward_up::Frame::Items(items) => {
                let parcel = Parcel { items: items.items, on_drop: OnDrop::Signal(dropped.clone()) };
                self.batcher.submit(parcel).await.map_err(|_| ())
            }
            ha::forward_up::Frame::ReadIndex(request) => {
                // One that is left out is asked for again by its gateway.
                if let Ok(place) = self.rounds.clone().try_acquire_owned() {
                    tokio::spawn(read_index(self.consensus.clone(), self.down.clone(), request.id, place));
                }
                Ok(())
            }
            ha::forward_up::Frame::LiveClients(live) => {
                self.leases.renew(live.clients.into_iter().map(ClientId), Instant::now());
                Ok(())
            }
            ha::forward_up::Frame::Disk(disk) => {
                self.shortage.report(self.node, disk.low, Instant::now());
                Ok(())
            }
            ha::forward_up::Frame::Header(_) => Err(()),
        }
    }

    async fn not_leader(&self) {
        let leader = self.consensus.leadership().borrow().leader.map_or(0, |leader| leader.0);
        self.send(ha::forward_down::Frame::NotLeader(ha::PeerNotLeader { leader })).await;
    }

    async fn send(&self, frame: ha::forward_down::Frame) {
        // A peer that went away needs no answer.
        let _ = self.down.send(Ok(ha::ForwardDown { frame: Some(frame) })).await;
    }
}

/// Waits until the batcher is not open for this term any more; keeps no borrow of it.
async fn until_other(open: &mut watch::Receiver<Option<Term>>, term: Option<Term>) {
    // An error means that the node stops, which is an end as well.
    let _ = open.wait_for(|now| *now != term).await;
}

async fn read_index(consensus: Consensus, down: Down, id: u64, _place: OwnedSemaphorePermit) {
    let reply = match consensus.read_index().await {
        Ok(index) => ha::ReadIndexReply { id, log_index: index.0, error: String::new() },
        Err(error) => ha::ReadIndexReply { id, log_index: 0, error: error.to_string() },
    };
    let frame = Some(ha::forward_down::Frame::ReadIndex(reply));
    // A peer that went away needs no answer.
    let _ = down.send(Ok(ha::ForwardDown { frame })).await;
}
