//! The gateway: what makes any node able to serve any client.
//!
//! The gateway of a node is one client of the replicated state. It registers through the log, numbers its commands
//! without gaps, keeps each until it is answered, and sends all unanswered ones again whenever they may have been
//! lost: a new leader, a broken link, a dropped entry, an installed snapshot. The window in the replicated state turns
//! the repeats into the stored reply. Callers notice nothing but the time it takes.
//!
//! Replies come out of **this** node's apply. So an answered call has been applied here: what the caller reads here next
//! includes it.
//!
//! **Invariant:** what waits here is bounded in number and in bytes; more than that is refused, and certainly not done.
//!
//! **Invariant:** a number, once sent, keeps its bytes for ever. Only a number that was never sent is given up, and then
//! its place is taken by `Void`.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_storage::{BackupSource, RowReader};
use flame_types::{ClientId, CoordinatorId, LogIndex, RequestNo, Seq, SessionKey, Term};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::events::{EventHub, Subscription};
use super::read_index::ReadIndex;
use super::results::Results;
use crate::consensus::{
    BackupError, Change, ChangeError, Changed, Consensus, RaftStatus, Receiving, RunningLevel, Wish,
};

mod admission;
mod client_stream;
mod pace;
mod registration;
mod window;
mod windows;

use admission::Admission;
pub use admission::{Load, Place, Room};
pub use client_stream::{ClientStream, TakenOver};
pub use pace::{RETRY_AFTER_MAX, RETRY_AFTER_MIN};
pub(in crate::drive) use window::FrameRoom;
use windows::Windows;

/// Most bytes of one command: far more than any that is well formed needs, far less than an entry holds.
pub const COMMAND_BYTES_MAX: usize = 16 << 20;

/// Why a call was not answered by a reply.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The cluster refused it; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody led until the deadline. Certain: it was not done.
    #[error("no coordinator leads the cluster at the moment; nothing was done, try again")]
    NoLeader,
    /// No answer until the deadline. It may have been done, or be done later.
    #[error("no answer within the deadline; the outcome is unknown")]
    Unknown,
    /// Too much waits already. Nothing was done.
    #[error("this node has too much to do; nothing was done, try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When there should be room again, by the pace of the last commands.
        retry_after: Duration,
    },
    /// The command is larger than any may be. Nothing was done.
    #[error("the request has {bytes} bytes of payload, at most {COMMAND_BYTES_MAX} are allowed in one")]
    TooLarge {
        /// Its payload.
        bytes: usize,
    },
    /// This node is going down. Nothing was done.
    #[error("this node is stopping")]
    Stopped,
    /// This node cannot serve at the moment. Nothing was done.
    #[error("this node is not ready: {0}")]
    NotReady(String),
}

/// One member of the cluster, with the addresses by which it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub id: CoordinatorId,
    /// `host:port` for clients.
    pub client: String,
    /// `host:port` for workers.
    pub worker: String,
    /// `host:port` for its peers.
    pub peer: String,
    /// Whether it votes.
    pub voter: bool,
}

/// The cluster as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Its id.
    pub cluster_id: String,
    /// This node.
    pub self_id: CoordinatorId,
    /// All members.
    pub members: Vec<MemberInfo>,
    /// Who leads, if anybody is known to.
    pub leader: Option<CoordinatorId>,
    /// The present term.
    pub term: Term,
    /// Whether a change of the voters is under way.
    pub changing: bool,
}

/// What a gateway knows of its own node.
#[derive(Clone, Debug)]
pub struct Here {
    /// Its id.
    pub id: CoordinatorId,
    /// Its cluster.
    pub cluster_id: String,
    /// A node that is more entries behind than this is not ready: it answers UNAVAILABLE to new calls.
    pub behind_max: u64,
}

/// Handle to the gateway of this node; cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    here: Here,
    consensus: Consensus,
    events: EventHub,
    reads: ReadIndex,
    windows: Mutex<Windows>,
    registered: watch::Sender<Option<ClientId>>,
    admission: Admission,
    messages: Arc<Semaphore>,
    /// There is something to send.
    unsent: Notify,
    resend: Notify,
}

impl Gateway {
    /// A gateway without a link; [`super::link`] gives it one.
    #[must_use]
    pub fn new(here: Here, consensus: Consensus, events: EventHub, reads: ReadIndex, room: Room) -> Self {
        let windows = Mutex::new(Windows::new(consensus.level().clone()));
        Self {
            inner: Arc::new(Inner {
                here,
                consensus,
                events,
                reads,
                windows,
                registered: watch::Sender::new(None),
                admission: Admission::new(room),
                messages: Arc::new(Semaphore::new(room.message_bytes as usize)),
                unsent: Notify::new(),
                resend: Notify::new(),
            }),
        }
    }

    /// Has a command done and gives its reply. [`Reply::Refused`] comes back as [`GatewayError::Refused`].
    ///
    /// # Errors
    /// See [`GatewayError`]: each variant says whether the command may have taken effect.
    pub async fn propose(&self, command: Command, deadline: Instant) -> Result<Reply, GatewayError> {
        self.check_ready()?;
        self.inner.consensus.level().admits(&command)?;
        let place = self.place_for(&command, deadline).await?;
        self.wait_registered(deadline).await?;
        let (seq, answer) = self.windows().admit(command, place).ok_or(GatewayError::NoLeader)?;
        self.inner.unsent.notify_one();
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(Reply::Refused(refusal))) => Err(GatewayError::Refused(refusal)),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_dropped)) => Err(GatewayError::Unknown),
            Err(_elapsed) => match self.windows().give_up(seq) {
                window::GivenUp::NeverSent => Err(GatewayError::NoLeader),
                window::GivenUp::MayHappen => Err(GatewayError::Unknown),
            },
        }
    }

    /// A linearizable read point: when this returns, the state of this node includes everything that was acknowledged
    /// to anybody before the call.
    ///
    /// # Errors
    /// [`GatewayError::NoLeader`] when no leader confirmed it until the deadline.
    pub async fn barrier(&self, deadline: Instant) -> Result<LogIndex, GatewayError> {
        self.check_ready()?;
        self.inner.reads.barrier(deadline).await
    }

    /// Runs a short closure on the replicated state, between two entries.
    ///
    /// # Errors
    /// [`GatewayError::Stopped`].
    pub async fn with_state<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, GatewayError> {
        self.inner.consensus.with_state(read).await.map_err(|_| GatewayError::Stopped)
    }

    /// Reads rows on disk.
    #[must_use]
    pub fn rows(&self) -> RowReader {
        self.inner.consensus.rows()
    }

    /// The feature level that the cluster runs at.
    #[must_use]
    pub fn level(&self) -> &RunningLevel {
        self.inner.consensus.level()
    }

    /// Takes a backup of what this node holds. `confirmed`: the caller has a read point.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn take_backup(&self, confirmed: bool) -> Result<BackupSource, BackupError> {
        self.inner.consensus.take_backup(confirmed).await
    }

    /// Follows the changes of a session on this node.
    #[must_use]
    pub fn subscribe(&self, session: SessionKey) -> Subscription {
        self.inner.events.subscribe(session)
    }

    /// Follows the results of a session on this node.
    #[must_use]
    pub fn follow_results(&self, session: SessionKey) -> Results {
        self.inner.events.follow_results(session)
    }

    /// Room for messages that wait for their connections, in all streams of this node: a permit for each byte.
    #[must_use]
    pub fn message_room(&self) -> Arc<Semaphore> {
        self.inner.messages.clone()
    }

    /// The cluster as this node knows it.
    #[must_use]
    pub fn membership(&self) -> ClusterView {
        let leadership = *self.inner.consensus.leadership().borrow();
        let members = self.inner.consensus.members().into_iter().map(|(id, node, voter)| MemberInfo {
            id,
            client: node.client,
            worker: node.worker,
            peer: node.peer,
            voter,
        });
        ClusterView {
            cluster_id: self.inner.here.cluster_id.clone(),
            self_id: self.inner.here.id,
            members: members.collect(),
            leader: leadership.leader,
            term: leadership.term,
            changing: self.inner.consensus.is_changing(),
        }
    }

    /// The number of the next change that carries a request id, by what was applied here.
    #[must_use]
    pub fn next_request(&self) -> RequestNo {
        self.inner.consensus.next_request()
    }

    /// The last entry applied here, and every one after it.
    #[must_use]
    pub fn applied_index(&self) -> watch::Receiver<LogIndex> {
        self.inner.consensus.applied_index()
    }

    /// What Raft says of this node.
    #[must_use]
    pub fn raft_status(&self) -> RaftStatus {
        self.inner.consensus.status()
    }

    /// How much this node has to do for its clients.
    #[must_use]
    pub fn load(&self) -> Load {
        self.inner.admission.load()
    }

    /// Bytes of messages that wait for the connections of this node's clients.
    #[must_use]
    pub fn message_bytes_waiting(&self) -> usize {
        self.inner.admission.message_bytes(&self.inner.messages)
    }

    /// Number of clients whose streams this node serves.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.stream_clients().len()
    }

    /// Whether this node serves; the error says why not. Being a follower is no reason.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(why) = self.inner.consensus.waits_for() {
            return Err(why);
        }
        // A node that was cut off, or restarted alone, still knows who led: only the link to it shows that it does.
        if !self.windows().is_linked() {
            let why = match self.raft_status().leader {
                Some(leader) => format!("no link to coordinator {leader}, which led when it was last heard of"),
                None => "no leader is known".to_owned(),
            };
            let unfit = self.inner.consensus.unfit_peers().map(|peers| format!("; over TLS, {peers}"));
            return Err(format!("{why}{}", unfit.unwrap_or_default()));
        }
        if !self.inner.consensus.members().iter().any(|(id, ..)| *id == self.inner.here.id) {
            return Err("it has received nothing of the log; if that lasts, the leader's own log says why".into());
        }
        self.keeps_up()
    }

    /// Hands leadership to a member, or to the one that is furthest.
    ///
    /// # Errors
    /// [`GatewayError::NotReady`] when this node does not lead or the member does not take over in time.
    pub async fn transfer_leader(
        &self,
        to: Option<CoordinatorId>,
        deadline: Instant,
    ) -> Result<CoordinatorId, GatewayError> {
        let transfer = self.inner.consensus.transfer_leader(to);
        match tokio::time::timeout_at(deadline, transfer).await {
            Ok(Ok(())) => self.inner.consensus.leadership().borrow().leader.ok_or(GatewayError::Unknown),
            Ok(Err(error)) => Err(GatewayError::NotReady(error.to_string())),
            Err(_elapsed) => Err(GatewayError::Unknown),
        }
    }

    /// Changes who the members are, if this node leads.
    ///
    /// # Errors
    /// [`ChangeError`]: all but `Unknown` are certain, nothing was changed.
    pub async fn change_members(&self, change: Change, wish: Wish, deadline: Instant) -> Result<Changed, ChangeError> {
        let made = tokio::time::timeout_at(deadline, self.inner.consensus.change_members(change, wish));
        made.await.unwrap_or(Err(ChangeError::Unknown))
    }

    /// Refuses at once what cannot be served: better an error that says so than a call that hangs.
    fn check_ready(&self) -> Result<(), GatewayError> {
        self.keeps_up().map_err(GatewayError::NotReady)
    }

    /// Whether what is acknowledged anywhere is seen here before long; the error says why not.
    fn keeps_up(&self) -> Result<(), String> {
        let (consensus, behind_max) = (&self.inner.consensus, self.inner.here.behind_max);
        if let Some(Receiving { arrived, of, .. }) = consensus.receiving() {
            return Err(format!("it is behind and receives a snapshot: {arrived} of {of} bytes are here"));
        }
        match consensus.lag() {
            lag if lag > behind_max => Err(format!("it is {lag} entries behind (at most {behind_max} are allowed)")),
            _ => Ok(()),
        }
    }

    async fn place_for(&self, command: &Command, deadline: Instant) -> Result<Place, GatewayError> {
        let bytes = payload_bytes(command);
        if bytes > COMMAND_BYTES_MAX {
            return Err(GatewayError::TooLarge { bytes });
        }
        let place = self.inner.admission.call(bytes, deadline).await;
        place.map_err(|full| match self.windows().is_linked() {
            true => GatewayError::Overloaded { retry_after: full.retry_after },
            // What is inside is stuck there.
            false => GatewayError::NoLeader,
        })
    }

    async fn wait_registered(&self, deadline: Instant) -> Result<(), GatewayError> {
        let mut registered = self.inner.registered.subscribe();
        let known = registered.wait_for(Option::is_some);
        match tokio::time::timeout_at(deadline, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(GatewayError::Stopped),
            Err(_) => Err(GatewayError::NoLeader),
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.inner.windows.lock().expect("no code panics while it holds this lock")
    }
}

/// What the link and the sink do with the gateway; not for callers.
impl Gateway {
    /// Replies of one entry, from apply. Never waits.
    pub(super) fn on_replies(&self, replies: &[(ClientId, Seq, Reply)]) {
        let consequences = self.windows().on_replies(replies);
        if consequences.own_expired {
            self.inner.registered.send_replace(None);
        }
        if consequences.resend {
            self.inner.resend.notify_one();
        }
    }

    /// A snapshot was installed: replies of the entries it covers will not be seen here.
    pub(super) fn on_installed(&self) {
        self.inner.resend.notify_one();
    }

    /// From now on commands are taken by a link, all unanswered ones first; or nobody leads.
    pub(super) fn set_linked(&self, linked: bool) {
        self.windows().set_linked(linked);
        self.inner.unsent.notify_one();
    }

    /// Everything unanswered is sent again.
    pub(super) fn resend(&self) {
        self.windows().resend();
        self.inner.unsent.notify_one();
    }

    /// Waits for commands to send and takes those of the next frame. Only the present link does that.
    pub(super) async fn take_commands(&self, into: &mut Vec<Bytes>, room: FrameRoom) {
        loop {
            self.windows().take(into, room);
            if !into.is_empty() {
                return;
            }
            self.inner.unsent.notified().await;
        }
    }

    /// Waits until something says that commands were lost.
    pub(super) async fn resend_wanted(&self) {
        self.inner.resend.notified().await;
    }

    /// Clients whose streams this node serves.
    pub(super) fn stream_clients(&self) -> Vec<ClientId> {
        self.windows().stream_clients()
    }

    pub(super) fn reads(&self) -> &ReadIndex {
        &self.inner.reads
    }

    pub(super) fn id(&self) -> CoordinatorId {
        self.inner.here.id
    }

    pub(super) fn consensus(&self) -> &Consensus {
        &self.inner.consensus
    }
}

fn payload_bytes(command: &Command) -> usize {
    use flame_types::Payloads;
    let mut bytes = 0;
    // Payloads are shared by reference: this clones a header, not user data.
    command.clone().visit_payloads(&mut |payload| bytes += payload.len());
    bytes
}
