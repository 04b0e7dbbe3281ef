//! The stream to the leader: what this cache has goes up, in pages and reports; orders come down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::cache_down::Frame as Down;
use flame_proto::ha::cache_nodes_client::CacheNodesClient;
use flame_proto::ha::cache_up::Frame as Up;
use flame_proto::ha::object_refused::Reason as RefusedReason;
use flame_proto::ha::refused::Reason;
use flame_types::ObjectKey;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::chores::{Chore, Chores};
use super::coordinators::Coordinators;
use super::directory::{Farewell, Joining, Shared};
use super::orders::Orders;
use super::queue::{News, OBJECTS_MAX};
use crate::directory::{CacheNode, NotRecorded};
use crate::error::Refusal;
use crate::model::Info;
use crate::store::Store;

/// What this cache understands. A leader of a higher level speaks down to it.
const FEATURE_LEVEL: u32 = 1;

/// Longest time from opening the stream until the coordinator says whether it takes us.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often the cache says that it lives.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// A leader that is silent for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Waits between tries: they grow.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Longest wait for the leader to read the last word.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Frames on their way into the stream.
const FRAMES_AHEAD: usize = 4;

/// The agent of a cache.
pub(super) struct Agent {
    pub(super) node: CacheNode,
    pub(super) joining: Joining,
    pub(super) coordinators: Coordinators,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Store,
    pub(super) orders: Orders,
    pub(super) chores: Chores,
    pub(super) hello: u64,
    pub(super) cluster_id: String,
}

/// Why a stream, or an attempt at one, ended.
enum Ended {
    /// Another one is to be tried.
    Lost(String),
    /// No other one will do.
    For(Farewell),
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Lost(why)
    }
}

/// What of the inventory is told.
#[derive(Default)]
struct Inventory {
    after: String,
    unanswered: Option<Page>,
    is_told: bool,
}

/// A page of the inventory.
struct Page {
    number: u64,
    /// What it names; `None` where a version is being recorded, whose report has an answer of its own.
    held: Vec<Option<Info>>,
    is_last: bool,
}

/// Heartbeats that are not answered, and when they were sent.
#[derive(Default)]
struct Heartbeats {
    last: u64,
    sent: VecDeque<(u64, Instant)>,
}

impl Agent {
    /// Runs until `stop`, or until the cluster sends this cache away.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Farewell {
        let mut pause = PAUSE_MIN;
        loop {
            let begun = Instant::now();
            let ended = self.attach(&stop).await;
            self.shared.on_detached();
            match ended {
                Ended::For(farewell) => return farewell,
                Ended::Lost(why) => {
                    tracing::info!(why, "not attached to a leader; looking for it, objects are served on")
                }
            }
            // One that kept us for a while may be followed by the next without a wait.
            pause = if begun.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return Farewell::Stopped,
            }
        }
    }

    async fn attach(&mut self, stop: &CancellationToken) -> Ended {
        let endpoint = self.coordinators.next();
        match self.try_attach(&endpoint, stop).await {
            Ok(farewell) => Ended::For(farewell),
            Err(ended) => ended,
        }
    }

    async fn try_attach(&mut self, endpoint: &str, stop: &CancellationToken) -> Result<Farewell, Ended> {
        let channel = self.coordinators.channel(endpoint)?;
        let (up, frames) = mpsc::channel(FRAMES_AHEAD);
        let hello = self.compose_hello();
        up.try_send(ha::CacheUp { frame: Some(Up::Hello(hello)) }).expect("a fresh channel has room for one frame");
        let sent = Instant::now();
        let mut client = CacheNodesClient::new(channel);
        let opening = async {
            let mut down = client.attach(ReceiverStream::new(frames)).await?.into_inner();
            let first = down.message().await?;
            Ok::<_, tonic::Status>((down, first))
        };
        let opened = tokio::select! {
            opened = timeout(ANSWER_WITHIN, opening) => opened.map_err(|_| format!("{endpoint} does not answer")),
            () = stop.cancelled() => return Ok(Farewell::Stopped),
        };
        let opened = opened.and_then(|opened| opened.map_err(|status| format!("{endpoint}: {}", status.message())));
        let (down, first) = opened.inspect_err(|_| self.coordinators.forget(endpoint))?;
        match first.and_then(|first| first.frame) {
            Some(Down::Welcome(welcome)) => self.serve(endpoint, welcome, sent, up, down, stop).await,
            Some(Down::NotLeader(answer)) => {
                self.coordinators.learn(&answer.endpoints);
                self.coordinators.hint(&answer.leader);
                Err(format!("{endpoint} does not lead").into())
            }
            Some(Down::Refused(refused)) => Err(refused_as(endpoint, &refused)),
            _ => Err(format!("{endpoint} answers with something else than Welcome").into()),
        }
    }

    fn compose_hello(&mut self) -> ha::CacheHello {
        self.hello += 1;
        let Joining { started_ms, nonce, host, memory_bytes, disk_bytes, .. } = self.joining.clone();
        ha::CacheHello {
            feature_level: FEATURE_LEVEL,
            cluster_id: self.cluster_id.clone(),
            cache: self.node.name.clone(),
            started_ms,
            nonce,
            hello: self.hello,
            host: Some(host),
            endpoint: self.node.endpoint.clone(),
            memory_bytes,
            disk_bytes,
        }
    }

    async fn serve(
        &mut self,
        endpoint: &str,
        welcome: ha::CacheWelcome,
        hello_sent: Instant,
        up: mpsc::Sender<ha::CacheUp>,
        mut down: Streaming<ha::CacheDown>,
        stop: &CancellationToken,
    ) -> Result<Farewell, Ended> {
        tracing::info!(leader = endpoint, epoch = welcome.epoch, "attached to the leader");
        self.coordinators.learn(&welcome.endpoints);
        self.coordinators.prefer(endpoint);
        self.cluster_id.clone_from(&welcome.cluster_id);
        self.shared.on_welcome(&welcome, hello_sent);
        let mut inventory = Inventory::default();
        let mut heartbeats = Heartbeats::default();
        let mut turn = interval(HEARTBEAT_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_at = Instant::now() + SILENCE_MAX;
        loop {
            let is_silent = !inventory.is_due() && !self.shared.is_due();
            tokio::select! {
                message = down.message() => {
                    silent_at = Instant::now() + SILENCE_MAX;
                    let message = message.map_err(|status| format!("{endpoint}: {}", status.message()))?;
                    let frame = message.and_then(|message| message.frame);
                    let frame = frame.ok_or_else(|| format!("{endpoint} has ended the stream"))?;
                    self.on_frame(endpoint, frame, &mut inventory, &mut heartbeats)?;
                }
                _ = turn.tick() => {
                    let heartbeat = Up::Heartbeat(ha::Heartbeat { number: heartbeats.next() });
                    // Where there is no room, something else is said.
                    let _ = up.try_send(ha::CacheUp { frame: Some(heartbeat) });
                }
                room = up.reserve(), if !is_silent => {
                    let room = room.map_err(|_| format!("{endpoint} reads no more"))?;
                    if let Some(frame) = self.next_frame(&mut inventory) {
                        room.send(ha::CacheUp { frame: Some(frame) });
                    }
                }
                () = self.shared.wake.notified(), if is_silent => {}
                () = sleep_until(silent_at) => return Err(format!("{endpoint} was silent for {SILENCE_MAX:?}").into()),
                () = stop.cancelled() => break,
            }
        }
        self.leave(up, down).await;
        Ok(Farewell::Stopped)
    }

    /// What is told next: reports before pages, since somebody may wait for them.
    fn next_frame(&self, inventory: &mut Inventory) -> Option<Up> {
        let is_here = |info: &Info| {
            let known = self.store.known(&info.key);
            known.is_some_and(|entry| entry.is_here() && entry.info.version == info.version)
        };
        // A later version has news of its own, and what was deleted meanwhile was deleted in the directory, too.
        let is_so = |news: &News| match news {
            News::Held { info, .. } => is_here(info),
            News::Gone { key, version } => {
                self.store.known(key).is_none_or(|entry| !entry.is_here() || entry.info.version > *version)
            }
        };
        let mut queue = self.shared.queue();
        if let Some((number, told)) = queue.next(is_so) {
            let mut report = ha::ObjectReport { number, ..ha::ObjectReport::default() };
            for news in told {
                match news {
                    News::Held { info, recorded, waiter } => report.held.push(held(info, *recorded, waiter.is_none())),
                    News::Gone { key, version } => report.gone.push(version_of(key, *version)),
                }
            }
            return Some(Up::Report(report));
        }
        drop(queue);
        self.shared.settled.notify_waiters();
        if !inventory.is_due() {
            return None;
        }
        let number = self.shared.queue().number();
        let (page, frame) = self.page(number, &inventory.after);
        if let Some(last) = frame.held.last() {
            inventory.after.clone_from(&last.key);
        }
        inventory.unanswered = Some(page);
        Some(Up::Inventory(frame))
    }

    /// The page of what there is after this key.
    ///
    /// A version that is being recorded is named instead of the one that is here: the directory may know it already, and
    /// takes back what a page does not name.
    fn page(&self, number: u64, after: &str) -> (Page, ha::CacheInventory) {
        // In this order: what is not pending any more is here.
        let pending = self.shared.pending_after(after);
        let here = self.store.inventory(after, OBJECTS_MAX);
        let mut all: BTreeMap<_, _> =
            here.into_iter().map(|(info, recorded)| (info.key.clone(), (Some(info), recorded))).collect();
        let mut versions = BTreeMap::new();
        for (key, info) in pending {
            all.insert(key.clone(), (None, None));
            versions.insert(key, info);
        }
        let is_last = all.len() < OBJECTS_MAX;
        let mut page = Page { number, held: Vec::new(), is_last };
        let mut frame = ha::CacheInventory { number, held: Vec::new(), last: is_last };
        for (key, (info, recorded)) in all.into_iter().take(OBJECTS_MAX) {
            let is_acknowledged = info.is_some();
            if let Some(named) = info.as_ref().or_else(|| versions.get(&key)) {
                frame.held.push(held(named, recorded, is_acknowledged));
                page.held.push(info);
            }
        }
        (page, frame)
    }

    fn on_frame(
        &self,
        endpoint: &str,
        frame: Down,
        inventory: &mut Inventory,
        heartbeats: &mut Heartbeats,
    ) -> Result<(), Ended> {
        match frame {
            Down::Recorded(recorded) => self.on_recorded(recorded, inventory),
            Down::Drop(order) => {
                for ha::ObjectVersion { key, version } in order.objects {
                    if let Ok(key) = ObjectKey::parse(&key) {
                        self.chores.add(Chore::Drop { key, version });
                    }
                }
            }
            Down::Fetch(order) => self.orders.fetch_all(order.objects, self.shared.generation()),
            Down::Quota(quota) => self.shared.on_quota(quota),
            Down::LeaseAck(ack) => {
                if let Some(sent) = heartbeats.on_answer(ack.number) {
                    self.shared.lease.on_answer(sent);
                }
            }
            // Nobody waits for copies.
            Down::Copied(_) => {}
            Down::NotLeader(answer) => {
                self.coordinators.learn(&answer.endpoints);
                self.coordinators.hint(&answer.leader);
                return Err(format!("{endpoint} leads no more").into());
            }
            Down::Refused(refused) => return Err(refused_as(endpoint, &refused)),
            Down::Welcome(_) => return Err(format!("{endpoint} said Welcome twice").into()),
        }
        Ok(())
    }

    fn on_recorded(&self, recorded: ha::ObjectsRecorded, inventory: &mut Inventory) {
        let generation = self.shared.generation();
        let refused: BTreeMap<usize, ha::ObjectRefused> =
            recorded.refused.into_iter().map(|refused| (refused.at as usize, refused)).collect();
        if let Some(page) = inventory.unanswered.take_if(|page| page.number == recorded.number) {
            for (at, info) in page.held.into_iter().enumerate() {
                let Some(info) = info else { continue };
                match refused.get(&at) {
                    Some(refused) => self.on_refused(&info, refused),
                    None => self.chores.add(Chore::Recorded { info, generation }),
                }
            }
            if page.is_last {
                inventory.is_told = true;
                self.shared.lease.on_told_all();
            }
            return;
        }
        let told = self.shared.queue().on_answer(recorded.number).unwrap_or_default();
        let held = told.into_iter().filter_map(|news| match news {
            News::Held { info, waiter, .. } => Some((info, waiter)),
            News::Gone { .. } => None,
        });
        for (at, (info, waiter)) in held.enumerate() {
            match (refused.get(&at), waiter) {
                (refused, Some(waiter)) => {
                    let outcome = refused.map_or(Ok(generation), |refused| Err(not_recorded(&info, refused)));
                    // Whoever waits does so until this process ends.
                    let _ = waiter.send(outcome);
                }
                (Some(refused), None) => self.on_refused(&info, refused),
                (None, None) => self.on_told(info, generation),
            }
        }
        self.shared.settled.notify_waiters();
    }

    /// The directory has heard of an object that clients know.
    fn on_told(&self, info: Info, generation: u32) {
        match self.store.known(&info.key).filter(|entry| entry.is_here()) {
            Some(_) => self.chores.add(Chore::Recorded { info, generation }),
            // It has left memory, or was dropped, while the report was under way.
            None => self.shared.tell(News::Gone { key: info.key, version: info.version }),
        }
    }

    /// Does what a refusal of something that is here asks for.
    fn on_refused(&self, info: &Info, refused: &ha::ObjectRefused) {
        match refused.reason() {
            RefusedReason::Deleted | RefusedReason::Stale | RefusedReason::Surplus => {
                self.store.disown(&info.key);
                self.chores.add(Chore::Drop { key: info.key.clone(), version: info.version });
                // The directory may believe that this cache has a later version, which it has lost.
                if refused.present > info.version {
                    self.shared.tell(News::Gone { key: info.key.clone(), version: refused.present });
                }
            }
            RefusedReason::Quota
            | RefusedReason::Limit
            | RefusedReason::DiskShort
            | RefusedReason::Invalid
            | RefusedReason::Unspecified => {
                tracing::warn!(key = %info.key, why = refused.message, "the directory does not take an object");
            }
        }
    }

    /// What was handed to the stream reaches the leader, and after that the last word.
    async fn leave(&self, up: mpsc::Sender<ha::CacheUp>, mut down: Streaming<ha::CacheDown>) {
        let said = async {
            // A stream that broke meanwhile takes no last word; then the lease tells the leader.
            let _ = up.send(ha::CacheUp { frame: Some(Up::Goodbye(ha::Goodbye {})) }).await;
            drop(up);
            while let Ok(Some(_)) = down.message().await {}
        };
        // A leader that does not end its side is left without a further word.
        let _ = timeout(CLOSE_WITHIN, said).await;
    }
}

/// Why something that is not shown yet is not recorded.
fn not_recorded(info: &Info, refused: &ha::ObjectRefused) -> NotRecorded {
    match refused.reason() {
        RefusedReason::Deleted | RefusedReason::Stale | RefusedReason::Surplus => NotRecorded::Superseded,
        RefusedReason::Quota | RefusedReason::Limit | RefusedReason::DiskShort => {
            NotRecorded::Refused(Refusal::NoRoom(refused.message.clone()))
        }
        RefusedReason::Invalid | RefusedReason::Unspecified => {
            tracing::error!(key = %info.key, why = refused.message, "the directory does not take an object");
            NotRecorded::Refused(Refusal::Wrong(refused.message.clone()))
        }
    }
}

fn version_of(key: &ObjectKey, version: u64) -> ha::ObjectVersion {
    ha::ObjectVersion { key: key.to_string(), version }
}

impl Inventory {
    fn is_due(&self) -> bool {
        !self.is_told && self.unanswered.is_none()
    }
}

impl Heartbeats {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.sent.push_back((self.last, Instant::now()));
        self.last
    }

    /// When the one that is answered was sent.
    fn on_answer(&mut self, number: u64) -> Option<Instant> {
        let mut sent = None;
        while let Some((_, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= number) {
            sent = Some(at);
        }
        sent
    }
}

fn held(info: &Info, recorded: Option<u32>, acknowledged: bool) -> ha::HeldObject {
    ha::HeldObject {
        key: info.key.to_string(),
        version: info.version,
        size: info.size,
        data_type: info.data_type.to_string(),
        created_ms: info.created_ms,
        recorded,
        acknowledged,
        copies: 0,
    }
}

fn refused_as(endpoint: &str, refused: &ha::Refused) -> Ended {
    let message = refused.message.clone();
    match refused.reason() {
        Reason::Superseded => Ended::For(Farewell::Superseded(message)),
        Reason::NameInUse | Reason::OtherCluster | Reason::Invalid => Ended::For(Farewell::Refused(message)),
        Reason::StaleHello | Reason::Unspecified => Ended::Lost(format!("{endpoint} refuses: {message}")),
    }
}
