//! The link of this node's gateway to whoever leads: the batcher of this process, or one stream to another node.
//!
//! A link carries commands and read rounds up, and only trouble and read points down: replies come out of the local
//! apply. When a link ends, the next one begins with everything unanswered.

use std::collections::HashMap;
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::forward_client::ForwardClient;
use flame_tls::Client;
use flame_tls::client::channel;
use flame_types::{CoordinatorId, LogIndex, Term};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::batcher::{BatcherHandle, DropSignal, ENTRY_BYTES_MAX, OnDrop, Parcel};
use super::clients::{ClientLeases, RENEW_EVERY};
use super::disk::Space;
use super::gateway::{FrameRoom, Gateway};
use super::read_index::{ReadLink, Round};
use super::shortage::Shortage;
use crate::consensus::Leadership;

/// Wait before a broken link is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Wait between the news that something was dropped and sending it again: more such news usually follows.
const RESEND_PAUSE: Duration = Duration::from_millis(5);

/// Limit for opening a connection to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How often an idle connection is probed, and how long the peer may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// What one frame or parcel holds: as much as an entry.
const FRAME_ROOM: FrameRoom = FrameRoom { commands: 256, bytes: ENTRY_BYTES_MAX };

/// Frames and read rounds that wait for the connection. Few: commands wait in their windows.
const FRAMES_WAITING_MAX: usize = 8;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error("the address of coordinator {0} is not known")]
    UnknownPeer(CoordinatorId),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Status(#[from] tonic::Status),
    #[error("the peer does not lead (it says {0} does)")]
    NotLeader(u64),
    #[error("the stream ended")]
    Closed,
}

/// What a node tells whoever leads, itself included.
pub struct NodeNews {
    /// Whose streams are served, as the leader keeps it.
    pub clients: ClientLeases,
    /// Who is short of disk, as the leader keeps it.
    pub shortage: Shortage,
    /// The disk of this node.
    pub space: watch::Receiver<Space>,
}

/// Keeps the gateway linked to the leader for as long as the node runs.
pub async fn run(gateway: Gateway, batcher: BatcherHandle, mut news: NodeNews, tls: Option<Client>) {
    let mut leadership = gateway.consensus().leadership();
    loop {
        let now = *leadership.borrow_and_update();
        tokio::select! {
            () = serve(&gateway, &batcher, &mut news, &now, tls.as_ref()) => {}
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        gateway.set_linked(false);
        gateway.reads().set_link(ReadLink::None);
    }
}

/// Serves one leader until its link ends; returns after a pause.
async fn serve(
    gateway: &Gateway,
    batcher: &BatcherHandle,
    news: &mut NodeNews,
    leadership: &Leadership,
    tls: Option<&Client>,
) {
    match leadership.leader {
        None => std::future::pending().await,
        Some(leader) if leader == gateway.id() => local(gateway, batcher, news).await,
        Some(leader) => {
            if let Err(end) = remote(gateway, leader, &mut news.space, tls).await {
                tracing::debug!(%leader, %end, "the link to the leader ended");
            }
        }
    }
    tokio::time::sleep(RECONNECT_PAUSE).await;
}

/// Feeds the batcher of this process while it is open.
async fn local(gateway: &Gateway, batcher: &BatcherHandle, news: &mut NodeNews) {
    let mut open = batcher.watch_open();
    if until(&mut open, Option::is_some).await.is_err() {
        return;
    }
    gateway.set_linked(true);
    gateway.reads().set_link(ReadLink::Local);
    let dropped = DropSignal::default();
    let mut items = Vec::new();
    let mut renewal = tokio::time::interval(RENEW_EVERY);
    loop {
        tokio::select! {
            biased;
            _closed = until(&mut open, Option::is_none) => return,
            () = trouble(gateway, &dropped) => {
                tokio::time::sleep(RESEND_PAUSE).await;
                gateway.resend();
            }
            now = renewal.tick() => {
                news.clients.renew(gateway.stream_clients(), now);
                news.shortage.report(gateway.id(), news.space.borrow().is_low, now);
            }
            Ok(()) = news.space.changed() => {
                let is_low = news.space.borrow_and_update().is_low;
                news.shortage.report(gateway.id(), is_low, Instant::now());
            }
            () = gateway.take_commands(&mut items, FRAME_ROOM) => {
                let parcel = Parcel { items: std::mem::take(&mut items), on_drop: OnDrop::Signal(dropped.clone()) };
                if batcher.submit(parcel).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until the batcher's term is as wished; keeps no borrow of it.
async fn until(
    open: &mut watch::Receiver<Option<Term>>,
    wished: impl Fn(&Option<Term>) -> bool,
) -> Result<(), watch::error::RecvError> {
    open.wait_for(|term| wished(term)).await.map(|_| ())
}

/// Waits for nothing else: whoever gives up waiting here must not have taken a signal with it.
async fn trouble(gateway: &Gateway, dropped: &DropSignal) {
    tokio::select! {
        () = dropped.raised() => {}
        () = gateway.resend_wanted() => {}
    }
}

/// One stream to the leader on another node.
async fn remote(
    gateway: &Gateway,
    leader: CoordinatorId,
    space: &mut watch::Receiver<Space>,
    tls: Option<&Client>,
) -> Result<(), LinkEnd> {
    let (up, frames) = mpsc::channel(FRAMES_WAITING_MAX);
    let header = gateway.consensus().header_to(leader);
    send(&up, ha::forward_up::Frame::Header(header)).await?;
    let mut client = ForwardClient::new(connect(gateway, leader, tls)?)
        .max_decoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(flame_types::limits::MESSAGE_BYTES_MAX);
    let mut down = client.open(ReceiverStream::new(frames)).await?.into_inner();

    let (rounds_tx, mut rounds) = mpsc::channel(FRAMES_WAITING_MAX);
    gateway.set_linked(true);
    gateway.reads().set_link(ReadLink::Remote(rounds_tx));
    let mut asked: HashMap<u64, oneshot::Sender<LogIndex>> = HashMap::new();
    let mut items = Vec::new();
    let mut renewal = tokio::time::interval(RENEW_EVERY);
    loop {
        tokio::select! {
            frame = down.message() => {
                match frame?.and_then(|down| down.frame).ok_or(LinkEnd::Closed)? {
                    ha::forward_down::Frame::Dropped(_) => {
                        tokio::time::sleep(RESEND_PAUSE).await;
                        gateway.resend();
                    }
                    ha::forward_down::Frame::ReadIndex(reply) => answer_round(&mut asked, &reply),
                    ha::forward_down::Frame::NotLeader(reply) => return Err(LinkEnd::NotLeader(reply.leader)),
                }
            }
            Some(Round { id, answer }) = rounds.recv() => {
                asked.retain(|_, waiting| !waiting.is_closed());
                asked.insert(id, answer);
                send(&up, ha::forward_up::Frame::ReadIndex(ha::ReadIndexRequest { id })).await?;
            }
            _now = renewal.tick() => {
                let clients = gateway.stream_clients().into_iter().map(|client| client.0).collect();
                send(&up, ha::forward_up::Frame::LiveClients(ha::LiveClients { clients })).await?;
                let low = space.borrow().is_low;
                send(&up, ha::forward_up::Frame::Disk(ha::NodeDisk { low })).await?;
            }
            Ok(()) = space.changed() => {
                let low = space.borrow_and_update().is_low;
                send(&up, ha::forward_up::Frame::Disk(ha::NodeDisk { low })).await?;
            }
            () = gateway.resend_wanted() => {
                tokio::time::sleep(RESEND_PAUSE).await;
                gateway.resend();
            }
            () = gateway.take_commands(&mut items, FRAME_ROOM) => {
                let items = std::mem::take(&mut items);
                send(&up, ha::forward_up::Frame::Items(ha::Items { items })).await?;
            }
        }
    }
}

fn answer_round(asked: &mut HashMap<u64, oneshot::Sender<LogIndex>>, reply: &ha::ReadIndexReply) {
    let Some(answer) = asked.remove(&reply.id) else { return };
    if reply.error.is_empty() {
        // The reader may have given up.
        let _ = answer.send(LogIndex(reply.log_index));
    }
}

async fn send(up: &mpsc::Sender<ha::ForwardUp>, frame: ha::forward_up::Frame) -> Result<(), LinkEnd> {
    up.send(ha::ForwardUp { frame: Some(frame) }).await.map_err(|_| LinkEnd::Closed)
}

fn connect(gateway: &Gateway, leader: CoordinatorId, tls: Option<&Client>) -> Result<Channel, LinkEnd> {
    let members = gateway.consensus().members();
    let peer = members.into_iter().find(|(id, ..)| *id == leader).map(|(_, node, _)| node.peer);
    let peer = peer.ok_or(LinkEnd::UnknownPeer(leader))?;
    let endpoint = Endpoint::from_shared(format!("http://{peer}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(channel(endpoint, tls))
}
