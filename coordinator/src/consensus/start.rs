//! Starting a node's consensus: stores, state, Raft and the tasks around it, in the order of their dependence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flame_machine::Levels;
use flame_storage::{
    Buffers, Cause, DataDir, Expected, Fatal, Identity, LogOptions, RocksLog, StateOptions, StateStore,
};
use flame_types::{CoordinatorId, LogIndex};
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use super::RaftHandle;
use super::applier::{Applier, Started};
use super::arrivals::Arrivals;
use super::audience::Audience;
use super::bootstrap::{BootstrapService, Join};
use super::directory::{Directory, Members, Place};
use super::error::StartError;
use super::gate::{Disk, Gate};
use super::handle::{Consensus, Inner};
use super::joining::{self, Waiting};
use super::leadership::{self, Leadership};
use super::level::RunningLevel;
use super::lives::Lives;
use super::meeting;
use super::membership::{Finisher, Turn};
use super::network::Network;
use super::network::channels::Channels;
use super::options::{Options, raft_config};
use super::own_runtime::OwnRuntime;
use super::propose::Proposer;
use super::receive::Receiver;
use super::rows::Rows;
use super::server::RaftService;
use super::shipments::Shipments;
use super::sink::ApplySink;
use super::snapshot_body::SnapshotDirs;
use super::snapshots::{Backlog, Janitor};
use super::state_machine::StateMachine;
use crate::memory::Share;
use crate::metrics::handles::ConsensusMetrics;

/// What runs on the runtime of consensus must end in this time.
const RUNTIME_END_MAX: Duration = Duration::from_secs(5);

pub(super) async fn start(options: Options, sink: Box<dyn ApplySink>) -> Result<Consensus, StartError> {
    let own = OwnRuntime::start(RUNTIME_END_MAX)?;
    let handle = own.handle.clone();
    let started = handle.spawn(build(options, sink, own)).await;
    started.map_err(|error| StartError::Defect(error.to_string()))?
}

/// The opened stores.
struct Stores {
    data: DataDir,
    log: RocksLog,
    state: Arc<Rows>,
    started: Started,
    backlog: Arc<Backlog>,
}

fn open(
    options: &Options,
    fatal: &Fatal,
    level: &RunningLevel,
    sink: Box<dyn ApplySink>,
) -> Result<Stores, StartError> {
    let levels = Levels::OWN.all();
    let expected = Expected { cluster_id: options.cluster_id.clone(), node: options.id, levels };
    let data = DataDir::open(&options.data_dir, &expected)?;
    let (log_options, state_options) = storage_options(options, fatal);
    let log = RocksLog::open(&data, log_options)?;
    let state = Arc::new(Rows::new(StateStore::open(data.state_dir(), state_options)?, data.clone()));
    log.check_applied(state.applied().0.as_ref())?;
    let backlog = Arc::new(Backlog::default());
    let metrics = options.metrics.apply.clone();
    let started = Applier::start(state.clone(), backlog.clone(), sink, metrics, level.clone(), fatal.clone())?;
    Ok(Stores { data, log, state, started, backlog })
}

/// The same where waiting for the disk holds nobody up.
async fn opened(
    options: &Options,
    fatal: &Fatal,
    level: &RunningLevel,
    sink: Box<dyn ApplySink>,
) -> Result<Stores, StartError> {
    let (options, fatal, level) = (options.clone(), fatal.clone(), level.clone());
    let opened = tokio::task::spawn_blocking(move || open(&options, &fatal, &level, sink)).await;
    opened.map_err(|error| StartError::Defect(error.to_string()))?
}

/// What the two databases may take of the memory.
fn storage_options(options: &Options, fatal: &Fatal) -> (LogOptions, StateOptions) {
    let share = |share| options.memory.share(share);
    let memtables = share(Share::LogMemtables) + share(Share::StateMemtables);
    let buffers = Buffers::new(memtables, share(Share::BlockCache));
    let mut log = LogOptions::default().with_fatal(fatal.clone()).sync_for_tests_only(options.sync);
    log.memtable_bytes = share(Share::LogMemtables);
    log.tail_bytes = share(Share::LogTail);
    log.queue_bytes = share(Share::LogQueue);
    log.buffers = buffers.clone();
    log.metrics = options.metrics.log.clone();
    let state = StateOptions { memtable_bytes: share(Share::StateMemtables), buffers, fatal: fatal.clone() };
    (log, state)
}

/// Runs on the runtime of consensus, so that every task it starts lives there.
async fn build(options: Options, sink: Box<dyn ApplySink>, runtime: OwnRuntime) -> Result<Consensus, StartError> {
    check(&options)?;
    let config = raft_config(&options).map_err(|error| StartError::Options(error.to_string()))?;
    let (fatal, level) = (Fatal::new(), RunningLevel::default());
    let Stores { data, log, state, started: Started { applier, applied, next_request, rows }, backlog } =
        opened(&options, &fatal, &level, sink).await?;
    let identity = data.identity().clone();
    let gate = Arc::new(gate(&options, &state, &identity, &fatal, &applied, &level));
    let channels = Arc::new(Channels::new(runtime.handle.clone(), options.tls.clone()));
    let shipments = Arc::new(Shipments::default());
    let dirs = SnapshotDirs::new(data.snapshots_dir());
    let machine =
        StateMachine { applier: applier.clone(), store: state.clone(), backlog: backlog.clone(), dirs: dirs.clone() };
    let arrivals = Arrivals::new(dirs.clone());
    let network = Network::new(&gate, &channels, &shipments, &state, &dirs, &options.snapshots);
    let meter = log.meter();
    let raft = RaftHandle::build(options.id.0, Arc::new(config), network, log, machine)
        .await
        .map_err(|error| not_recovered(&error.to_string(), &fatal))?;
    dirs.open();
    gate.directory.set_log(members_now(&raft, identity.members_from()));
    let leadership = spawn_followers(&raft, &gate, &identity, &fatal, &options.metrics);
    let turn = spawn_finisher(&raft, &leadership);
    tokio::spawn(Janitor::new(&raft, &state, &meter, backlog, shipments, options.snapshots).run());
    tokio::spawn(arrivals.clone().sweep());
    let bootstrap_service = BootstrapService {
        raft: raft.clone(),
        gate: gate.clone(),
        channels,
        identity,
        members: Arc::new(options.members),
        join: Arc::new(Join { addresses: options.join, own: options.own }),
        leadership: leadership.clone(),
        applied: applied.clone(),
    };
    let waiting = spawn_questions(&bootstrap_service, &fatal);
    raft.run();
    let audience = Audience::default();
    let receiver =
        Receiver { raft: raft.clone(), gate: gate.clone(), arrivals: arrivals.clone(), applied: applied.clone() };
    let inner = Inner {
        proposer: Proposer::new(raft.clone(), options.memory.permits(Share::Entries)),
        raft_service: RaftService::new(receiver, audience.clone()),
        arrivals,
        audience,
        bootstrap_service,
        log: raft.data_metrics(),
        meter,
        raft,
        applier,
        store: state,
        dirs,
        rows,
        gate,
        turn,
        waiting,
        leadership,
        applied,
        next_request,
        level,
        fatal,
        runtime,
    };
    Ok(Consensus { inner: Arc::new(inner) })
}

/// Entries that are committed are applied before anything runs: one that this build does not understand stops it there.
fn not_recovered(error: &str, fatal: &Fatal) -> StartError {
    match fatal.cause() {
        Some(Cause::Outdated(why)) => StartError::Outdated(why),
        _ => StartError::Recovery(error.to_owned()),
    }
}

/// Who may speak here, with what is remembered of everybody's disk.
fn gate(
    options: &Options,
    state: &Arc<Rows>,
    identity: &Arc<Identity>,
    fatal: &Fatal,
    applied: &watch::Receiver<LogIndex>,
    level: &RunningLevel,
) -> Gate {
    let directory = Directory::new(options.members.iter().cloned().collect(), state.clone());
    let lives = Arc::new(Lives::new(identity.clone(), fatal.clone()));
    let disk = Disk { identity: identity.clone(), applied: applied.clone() };
    Gate::new(options.cluster_id.clone(), options.id, directory, lives, disk, level.clone())
}

fn check(options: &Options) -> Result<(), StartError> {
    if !options.join.is_empty() {
        return match options.members.is_empty() {
            true => Ok(()),
            false => Err(StartError::Options("a node that joins a cluster lists no members".to_owned())),
        };
    }
    if !options.members.iter().any(|(id, _)| *id == options.id) {
        return Err(StartError::Options(format!("coordinator {} is not in its own list of members", options.id)));
    }
    let ids: BTreeSet<CoordinatorId> = options.members.iter().map(|(id, _)| *id).collect();
    if ids.len() != options.members.len() {
        return Err(StartError::Options("an id is listed twice".to_owned()));
    }
    Ok(())
}

/// Starts what follows Raft until it ends.
fn spawn_followers(
    raft: &RaftHandle,
    gate: &Arc<Gate>,
    identity: &Identity,
    fatal: &Fatal,
    metrics: &ConsensusMetrics,
) -> watch::Receiver<Leadership> {
    let (leadership_now, leadership) = watch::channel(Leadership::default());
    tokio::spawn(leadership::follow(raft.clone(), leadership_now, metrics.leader_changes.clone()));
    gate.lives.follow(raft.metrics());
    tokio::spawn(gate.lives.clone().keep_notes());
    tokio::spawn(follow_members(raft.clone(), gate.clone(), identity.members_from()));
    tokio::spawn(watch_end(raft.clone(), fatal.clone()));
    leadership
}

/// Starts what ends changes of the members that a former leader has left.
fn spawn_finisher(raft: &RaftHandle, leadership: &watch::Receiver<Leadership>) -> Turn {
    let turn = Turn::default();
    tokio::spawn(Finisher { raft: raft.clone(), leadership: leadership.clone(), turn: turn.clone() }.run());
    turn
}

/// Starts what asks other nodes.
fn spawn_questions(service: &BootstrapService, fatal: &Fatal) -> Waiting {
    let waiting = Waiting::default();
    tokio::spawn(meeting::run(service.clone(), fatal.clone()));
    tokio::spawn(joining::run(service.clone(), waiting.clone(), fatal.clone()));
    waiting
}

/// Everybody whom the log names, be it by an entry that is not committed yet, or by the one before it. Memberships before
/// `from` mean nothing: since then this node goes on without those who agreed on them.
fn members_now(raft: &RaftHandle, from: Option<LogIndex>) -> Members {
    let metrics = raft.server_metrics();
    let seen = metrics.borrow_watched();
    let memberships = [&seen.committed_membership_config, &seen.membership_config].into_iter();
    let counts = |index: u64| from.is_none_or(|from| index >= from.0);
    let counting = memberships.filter(|membership| membership.log_id().as_ref().is_none_or(|id| counts(id.index)));
    let named = counting.flat_map(|membership| membership.nodes());
    named.map(|(id, node)| (CoordinatorId(*id), node.clone())).collect()
}

/// Keeps the gate informed of who is a member, and forgets who is none any more.
async fn follow_members(raft: RaftHandle, gate: Arc<Gate>, from: Option<LogIndex>) {
    let mut metrics = raft.server_metrics();
    loop {
        metrics.borrow_and_update();
        gate.directory.set_log(members_now(&raft, from));
        gate.lives.retain(|id| gate.directory.place(id) != Place::Removed);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Raises the flag when Raft ends for another reason than that it was told to.
async fn watch_end(raft: RaftHandle, fatal: Fatal) {
    let mut ended = raft.server_metrics();
    // The sender goes away with Raft's core task, after it has reported why.
    while ended.changed().await.is_ok() {}
    let state = raft.metrics().borrow_watched().running_state.clone();
    match state {
        Err(openraft::errors::Fatal::Stopped) => {}
        Err(error) => fatal.raise(error.to_string()),
        Ok(()) => fatal.raise("Raft ended without saying why: a defect"),
    }
}
