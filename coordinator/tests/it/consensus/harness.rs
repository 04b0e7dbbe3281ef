//! A cluster in this process. Each node has a directory, an address, and a sink that notes what it is told. Nothing
//! waits for time: conditions are polled, with a deadline.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::middleware::Next;
use bytes::Bytes;
use flame_coordinator::consensus::{
    AppliedEntry, ApplySink, BatchHeader, Change, ChangeError, Changed, Consensus, Leadership, Options, Profile,
    ProposeError, SnapshotLimits, StartError, Wish, encode_entry,
};
use flame_machine::command::{Command, Item};
use flame_storage::{MemberNode, codec};
use flame_types::{AppName, AppSpec, ClientId, CoordinatorId, LogIndex, Seq};
use tempfile::TempDir;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;

/// Far longer than anything here takes on a machine that is busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub const CLUSTER_ID: &str = "test-cluster";

/// Polls until the condition gives a value.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("it never happened that {what}"))
}

/// A loopback address that no other test process uses, so that a port can be given up and taken again.
fn own_loopback() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, 1)
}

/// What a node's sink was told.
#[derive(Default)]
pub struct Seen {
    pub applied: Vec<LogIndex>,
    pub replies: usize,
    pub installed: Vec<LogIndex>,
}

struct Sink(Arc<Mutex<Seen>>);

impl ApplySink for Sink {
    fn applied(&mut self, entry: AppliedEntry) {
        let mut seen = self.0.lock().unwrap();
        seen.applied.push(entry.index);
        seen.replies += entry.replies.len();
    }

    fn installed(&mut self, index: LogIndex) {
        self.0.lock().unwrap().installed.push(index);
    }
}

/// A sink that nobody looks at.
pub fn sink() -> Box<dyn ApplySink> {
    Box::new(Sink(Arc::default()))
}

/// A running node.
pub struct Node {
    pub consensus: Consensus,
    pub seen: Arc<Mutex<Seen>>,
    calls: Calls,
}

/// How often each procedure of a node was called.
type Calls = Arc<Mutex<BTreeMap<String, usize>>>;

impl Node {
    pub fn leadership(&self) -> Leadership {
        *self.consensus.leadership().borrow()
    }

    /// How many calls have come for this procedure, or streams, if it is one.
    pub fn calls(&self, procedure: &str) -> usize {
        self.calls.lock().unwrap().get(procedure).copied().unwrap_or(0)
    }

    pub async fn digest(&self) -> u128 {
        self.consensus.with_state(flame_machine::digest::digest).await.expect("runs")
    }
}

/// The members of a cluster, running or not.
pub struct Cluster {
    dir: TempDir,
    addresses: BTreeMap<u64, SocketAddr>,
    /// Bound and not yet used: a node that was killed binds its address again.
    listeners: BTreeMap<u64, TcpListener>,
    members: Vec<(CoordinatorId, MemberNode)>,
    limits: SnapshotLimits,
    profile: Profile,
    sync: bool,
    pub nodes: BTreeMap<u64, Node>,
}

impl Cluster {
    /// A cluster of that many members, none of them running.
    pub fn new(size: u64) -> Self {
        let listeners: BTreeMap<u64, TcpListener> =
            (1..=size).map(|id| (id, TcpListener::bind((own_loopback(), 0)).unwrap())).collect();
        let addresses: BTreeMap<u64, SocketAddr> =
            listeners.iter().map(|(id, listener)| (*id, listener.local_addr().unwrap())).collect();
        let node = |address: &SocketAddr| MemberNode { peer: address.to_string(), ..MemberNode::default() };
        let members = addresses.iter().map(|(id, address)| (CoordinatorId(*id), node(address))).collect();
        let dir = tempfile::tempdir().unwrap();
        let (limits, profile) = (SnapshotLimits::default(), Profile::Fast);
        Self { dir, addresses, listeners, members, limits, profile, sync: false, nodes: BTreeMap::new() }
    }

    /// Makes log writes durable, as in earnest, with the timers of busy machines.
    pub fn durable(mut self) -> Self {
        (self.sync, self.profile) = (true, Profile::Default);
        self
    }

    /// Cuts the log as soon as it has that many entries.
    pub fn cutting_after(mut self, entries: u64) -> Self {
        self.limits = SnapshotLimits {
            log_entries_max: entries,
            log_bytes_kept: 0,
            check_every: Duration::from_millis(10),
            ..SnapshotLimits::default()
        };
        self
    }

    /// Leaves so many bytes of the newest log when it is cut.
    pub fn keeping(mut self, bytes: u64) -> Self {
        self.limits.log_bytes_kept = bytes;
        self
    }

    /// Sends snapshots at no more than so many bytes a second.
    pub fn shipping_at(mut self, bytes_per_second: u64) -> Self {
        self.limits.ship_bytes_per_second = bytes_per_second;
        self
    }

    /// The same, running and begun.
    pub async fn running(mut self) -> Self {
        let ids: Vec<u64> = self.addresses.keys().copied().collect();
        for id in &ids {
            self.start(*id).await;
        }
        for id in &ids {
            self.nodes[id].consensus.bootstrap().await.expect("the cluster begins");
        }
        self
    }

    pub fn address(&self, id: u64) -> String {
        self.addresses[&id].to_string()
    }

    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub fn options(&self, id: u64) -> Options {
        let mut options = Options::new(CoordinatorId(id), CLUSTER_ID.to_owned(), self.data_dir(id));
        if self.members.iter().any(|(member, _)| member.0 == id) {
            options.members = self.members.clone();
        } else {
            options.join = self.members.iter().map(|(_, node)| node.peer.clone()).collect();
            options.own = self.node(id);
        }
        options.profile = self.profile;
        options.sync = self.sync;
        options.snapshots = self.limits;
        options
    }

    /// A place for a node that asks to be added.
    pub fn room(&mut self) -> u64 {
        let id = self.addresses.keys().next_back().map_or(1, |id| id + 1);
        let listener = TcpListener::bind((own_loopback(), 0)).unwrap();
        self.addresses.insert(id, listener.local_addr().unwrap());
        self.listeners.insert(id, listener);
        id
    }

    /// Where a node listens. Nobody listens for clients and workers here.
    pub fn node(&self, id: u64) -> MemberNode {
        let [client, worker] = ["client", "worker"].map(|what| format!("{what}-{id}:1"));
        MemberNode { peer: self.address(id), client, worker, ..MemberNode::default() }
    }

    /// Changes the members through whoever leads, again when the outcome is unknown: done twice is done once.
    pub async fn change(&self, change: Change) -> Result<Changed, ChangeError> {
        eventually("somebody changes the members", async || {
            let leader = &self.nodes[&self.leader().await].consensus;
            match leader.change_members(change.clone(), Wish::default()).await {
                Err(ChangeError::Refused(refusal)) => Some(Err(ChangeError::Refused(refusal))),
                Err(ChangeError::Stopped) => panic!("the leader has stopped"),
                Err(_for_now) => None,
                answer => Some(answer),
            }
        })
        .await
    }

    /// Starts a node that asks to be added, adds it, and gives it a vote.
    pub async fn grow(&mut self) -> u64 {
        let id = self.room();
        self.start(id).await;
        self.add(id).await;
        eventually("it has caught up and votes", async || {
            match self.change(Change::Promote { id: CoordinatorId(id) }).await {
                Ok(_) => Some(()),
                Err(ChangeError::Refused(_)) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        id
    }

    /// Adds a node that waits for it.
    pub async fn add(&self, id: u64) {
        let add = Change::Add { id: CoordinatorId(id), node: self.node(id) };
        eventually("it is added", async || self.change(add.clone()).await.ok()).await;
    }

    /// Starts a node.
    pub async fn start(&mut self, id: u64) {
        let options = self.options(id);
        self.start_with(id, options).await;
    }

    /// Starts a node with options of its own. One that was killed a moment ago may still hold its directory.
    pub async fn start_with(&mut self, id: u64, options: Options) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let consensus = eventually("the directory is free", async || {
            match Consensus::start(options.clone(), Box::new(Sink(seen.clone()))).await {
                Ok(consensus) => Some(consensus),
                Err(StartError::Storage(flame_storage::Error::AlreadyOpen(_))) => None,
                Err(error) => panic!("node {id} does not start: {error}"),
            }
        })
        .await;
        let listener = self.listener(id).await;
        let calls = Calls::default();
        let services = Routes::new(consensus.raft_service()).add_service(consensus.bootstrap_service());
        let server = tonic::transport::Server::builder().add_routes(counted(services, &calls));
        consensus.runtime().spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            server.serve_with_incoming(TcpListenerStream::new(listener)).await
        });
        self.nodes.insert(id, Node { consensus, seen, calls });
    }

    /// Lets somebody else answer at the address of a node that does not run, until the test ends.
    pub async fn impostor(&mut self, id: u64, routes: Routes) {
        let listener = tokio::net::TcpListener::from_std(self.listener(id).await).unwrap();
        let server = tonic::transport::Server::builder().add_routes(routes);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }

    async fn listener(&mut self, id: u64) -> TcpListener {
        let listener = match self.listeners.remove(&id) {
            Some(listener) => listener,
            None => eventually("the address is free", async || TcpListener::bind(self.addresses[&id]).ok()).await,
        };
        listener.set_nonblocking(true).unwrap();
        listener
    }

    /// Ends a node without a word: its runtime and with it all its connections are gone.
    pub fn kill(&mut self, id: u64) {
        drop(self.nodes.remove(&id).expect("it runs"));
    }

    /// Empties the disk of a node that does not run.
    pub async fn wipe(&self, id: u64) {
        let dir = self.data_dir(id);
        eventually("the disk is empty", async || std::fs::remove_dir_all(&dir).ok()).await;
    }

    /// Copies the disk of a node that does not run.
    pub async fn copy(&self, id: u64, to: &Path) {
        let lock = File::open(self.data_dir(id).join("LOCK")).unwrap();
        eventually("its disk is closed", async || lock.try_lock().ok()).await;
        copy_folder(&self.data_dir(id), to);
    }

    /// Puts a copy in the place of the disk of a node that does not run.
    pub async fn restore(&self, id: u64, from: &Path) {
        self.wipe(id).await;
        copy_folder(from, &self.data_dir(id));
    }

    /// Waits until a running node leads and the running ones agree on it, but for those that wait to be added.
    pub async fn leader(&self) -> u64 {
        eventually("all running nodes agree on a leader", async || {
            let members = self.nodes.values().filter(|node| node.consensus.waits_for().is_none());
            let mut seen = members.map(Node::leadership);
            let first = seen.next()?;
            let agreed = seen.all(|other| (other.term, other.leader) == (first.term, first.leader));
            let leader = first.leader.map(|leader| leader.0).filter(|_| agreed)?;
            self.nodes.get(&leader).filter(|node| node.leadership().is_self).map(|_| leader)
        })
        .await
    }

    /// A running node that does not lead.
    pub async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        *self.nodes.keys().find(|id| **id != leader).expect("there is another")
    }

    /// Registers an application through whoever leads; again when its fate is unknown, since that is harmless.
    pub async fn register(&self, name: &str) -> LogIndex {
        self.register_with(name, 0).await
    }

    /// The same for one with a description of so many bytes, which no two have in common.
    pub async fn register_with(&self, name: &str, bytes: usize) -> LogIndex {
        let entry = registration(name, bytes);
        eventually("an application is registered", async || {
            let node = &self.nodes[&self.leader().await];
            let proposal = match node.consensus.propose(node.leadership().term, entry.clone()).await {
                Ok(proposal) => proposal,
                Err(ProposeError::NotLeader { .. }) => return None,
                Err(error) => panic!("{error}"),
            };
            proposal.settled().await.ok()
        })
        .await
    }

    /// Waits until all running nodes have applied an entry, and checks that their states are equal.
    pub async fn agree_at(&self, index: LogIndex) -> u128 {
        let mut digests = Vec::new();
        for node in self.nodes.values() {
            let mut applied = node.consensus.applied_index();
            let reached = applied.wait_for(|applied| *applied >= index);
            tokio::time::timeout(DEADLINE, reached).await.expect("every node catches up").expect("runs");
            digests.push(node.digest().await);
        }
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "states differ: {digests:x?}");
        digests[0]
    }
}

impl Drop for Cluster {
    /// Waits until all databases are closed: the process may end right after this.
    fn drop(&mut self) {
        self.nodes.clear();
        let started = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path().join("LOCK"));
        for lock in started.filter(|lock| lock.exists()) {
            let file = File::open(&lock).unwrap();
            let (done, waits) = mpsc::channel();
            std::thread::spawn(move || done.send(file.lock().is_ok()));
            let closed = waits.recv_timeout(DEADLINE).is_ok_and(|is_locked| is_locked);
            assert!(closed || std::thread::panicking(), "{} stays locked", lock.display());
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The same services, with their calls counted.
fn counted(services: Routes, calls: &Calls) -> Routes {
    let calls = calls.clone();
    let count = move |request: axum::extract::Request, next: Next| {
        *calls.lock().unwrap().entry(request.uri().path().to_owned()).or_default() += 1;
        next.run(request)
    };
    Routes::from(services.into_axum_router().layer(axum::middleware::from_fn(count)))
}

/// An entry that registers one application.
pub fn register(name: &str) -> Bytes {
    registration(name, 0)
}

fn registration(name: &str, bytes: usize) -> Bytes {
    let words = std::iter::repeat_with(|| uuid::Uuid::new_v4().to_string()).take(bytes.div_ceil(36));
    let description = (bytes > 0).then(|| words.collect());
    let name = AppName::parse(name).unwrap();
    let command = Command::Register { name, spec: Box::new(AppSpec { description, ..AppSpec::default() }) };
    let item = Item { client: ClientId::NONE, seq: Seq(1), below: Seq(0), command };
    encode_entry(&BatchHeader::default(), &[codec::encode(&item)])
}
