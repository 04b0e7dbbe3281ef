//! The loop: events in, frames out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use flame_proto::ha;
use flame_proto::ha::refused::Reason;
use flame_proto::ha::worker_down::Frame as Down;
use flame_proto::ha::worker_up::Frame as Up;
use flame_proxy::OwnThread;
use flame_tls::{Settings, Verdict};
use flame_types::{ExecutorKey, HelloNo, Incarnation, NodeName, Resources, Shim, Term};
use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::channels::Channels;
use super::finder::Finder;
use super::heartbeats::Heartbeats;
use super::held::Held;
use super::link::{Link, Setback, Wire, WireEvent};
use super::news::{Leading, News};
use super::outbox::{Outbox, Outgoing};
use super::roster::Roster;
use crate::announce;
use crate::executor::{Parts, Report};
use crate::gate::Lease;
use crate::installer::Installer;
use crate::metrics::{Tally, WorkerMetrics};
use crate::options::{Limits, Options};

/// What this worker understands. A leader of a higher level speaks down to it.
const FEATURE_LEVEL: u32 = 1;

/// Reports taken together before anything is sent: results that end together leave together.
const REPORTS_AT_ONCE_MAX: usize = 1024;

/// How long the news that an executor is ready may wait for the result of a task that is at hand already, which says the
/// same: one entry of the log instead of two.
const READY_WITHIN: Duration = Duration::from_millis(2);

/// Beyond the time that running tasks and services get: how long the last results may take to be recorded.
const LAST_RESULTS_WITHIN: Duration = Duration::from_secs(2);

/// Most coordinators whose misfit is remembered.
const UNFIT_MAX: usize = 64;

/// How a worker names its certificates.
const TLS_SETTINGS: Settings =
    Settings { ca: "worker.tls.ca_file", identity: "worker.tls.cert_file and worker.tls.key_file" };

/// Who this worker is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) node: NodeName,
    pub(crate) incarnation: Incarnation,
    pub(crate) host: ha::Host,
    pub(crate) capacity: Resources,
}

/// Why the agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It was told to.
    Stopped,
    /// A newer worker has taken over the name.
    Superseded(String),
    /// The cluster does not take this worker, and will not.
    Refused(String),
}

/// Everything that can happen.
enum Event {
    Wire(WireEvent),
    News(Leading),
    Report(Report),
    ReadyDue,
    StopRequested,
    StopTimedOut,
}

/// The agent of a worker.
pub(crate) struct Agent {
    identity: Identity,
    limits: Limits,
    cluster_id: String,
    hello: HelloNo,
    heartbeats: Heartbeats,
    lease: Lease,
    wire: Wire,
    finder: Finder,
    news: News,
    channels: Channels,
    /// What was last said of coordinators whose certificates do not fit.
    unfit: BTreeMap<String, Verdict>,
    outbox: Outbox,
    roster: Roster<Parts>,
    reports: mpsc::Receiver<Report>,
    is_announced: bool,
    is_first_setback: bool,
    ready_due: Option<Pin<Box<Sleep>>>,
    stopping: Option<Stopping>,
    metrics: WorkerMetrics,
    /// Knows what installs have written.
    installer: Installer,
    /// Is told who the coordinators are; lives as long as the services may.
    proxy: Option<OwnThread>,
}

struct Stopping {
    farewell: Farewell,
    limit: Pin<Box<Sleep>>,
}

impl Agent {
    /// An agent that looks for its leader at once. `held` bounds the results; `parts` start executors, which begin tasks
    /// as long as the `lease` lasts, and whose reports arrive at `reports`.
    pub(crate) fn new(
        options: &Options,
        identity: Identity,
        held: Held,
        lease: Lease,
        parts: Parts,
        reports: mpsc::Receiver<Report>,
        metrics: WorkerMetrics,
    ) -> Self {
        let mut finder = Finder::new(options.coordinators.clone());
        let first = finder.next_try();
        Self {
            identity,
            limits: options.limits,
            cluster_id: options.cluster.clone().unwrap_or_default(),
            hello: HelloNo(0),
            heartbeats: Heartbeats::default(),
            lease,
            wire: Wire::waiting(first.endpoint, first.wait_max),
            finder,
            news: News::default(),
            channels: Channels::new(options.tls.clone(), &options.coordinators),
            unfit: BTreeMap::new(),
            outbox: Outbox::default(),
            installer: parts.host.installer.clone(),
            roster: Roster::new(parts, options.limits, held),
            reports,
            is_announced: false,
            is_first_setback: true,
            ready_due: None,
            stopping: None,
            metrics,
            proxy: None,
        }
    }

    /// The same agent, which tells this proxy of the coordinators that it hears of.
    pub(crate) fn with_proxy(self, proxy: Option<OwnThread>) -> Self {
        Self { proxy, ..self }
    }

    /// Runs until `stop` says so or the cluster sends the worker away. Every service has ended then.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> Farewell {
        loop {
            match self.next(&mut stop).await {
                Event::Wire(event) => self.on_wire(event),
                Event::News(leading) => self.on_news(&leading),
                Event::Report(report) => self.on_reports(report),
                Event::ReadyDue => self.roster.tell_ready(&mut self.outbox),
                Event::StopRequested => {
                    tracing::info!("told to stop; running tasks may go on for {:?}", self.limits.drain);
                    self.stop(Farewell::Stopped, self.limits.drain);
                }
                Event::StopTimedOut => {
                    tracing::warn!("not everything ended in time; stopping anyway");
                    return self.leave().await;
                }
            }
            self.flush();
            self.time_ready();
            self.metrics.show(self.roster.holdings());
            if self.stopping.is_some() && self.is_done() {
                return self.leave().await;
            }
        }
    }

    async fn next(&mut self, stop: &mut oneshot::Receiver<()>) -> Event {
        let wants_to_send = !self.outbox.is_empty();
        let is_stopping = self.stopping.is_some();
        let limit = self.stopping.as_mut().map(|stopping| &mut stopping.limit);
        let is_ready_due = self.ready_due.is_some();
        let ready_due = self.ready_due.as_mut();
        tokio::select! {
            event = self.wire.next(wants_to_send) => Event::Wire(event),
            leading = self.news.next() => Event::News(leading),
            report = self.reports.recv() => {
                Event::Report(report.expect("the roster itself holds a sender of reports"))
            }
            () = async { ready_due.expect("polled only when there is one").await }, if is_ready_due => Event::ReadyDue,
            // A sender that is gone wants what one that says so wants.
            _ = stop, if !is_stopping => Event::StopRequested,
            () = async { limit.expect("polled only while stopping").await }, if is_stopping => Event::StopTimedOut,
        }
    }

    /// Sets the time at which it is said that executors are ready, counted from the first of them.
    fn time_ready(&mut self) {
        if !self.roster.has_ready_later() {
            self.ready_due = None;
        } else if self.ready_due.is_none() {
            self.ready_due = Some(Box::pin(sleep(READY_WITHIN)));
        }
    }

    // ── the wire ────────────────────────────────────────────────────────────────────────────────────────────────

    fn on_wire(&mut self, event: WireEvent) {
        match event {
            WireEvent::Due(endpoint) => {
                let hello = self.compose_hello();
                self.wire = Wire::dialing(self.channels.clone(), endpoint, hello);
            }
            WireEvent::Attached(link, hello_sent, welcome) => self.on_attached(link, hello_sent, welcome),
            WireEvent::Setback(endpoint, setback) => self.on_setback(&endpoint, setback),
            WireEvent::Frame(frame) => self.on_frame(*frame),
            WireEvent::Broken(why) => self.on_broken(&why),
            WireEvent::HeartbeatDue => self.outbox.push_heartbeat(),
            WireEvent::Sendable => {}
        }
    }

    fn compose_hello(&mut self) -> ha::Hello {
        self.hello = self.hello.next();
        let Identity { node, incarnation, host, capacity } = self.identity.clone();
        let mut hello = ha::Hello {
            feature_level: FEATURE_LEVEL,
            cluster_id: self.cluster_id.clone(),
            node: node.as_str().to_owned(),
            started_ms: incarnation.started_ms,
            nonce: incarnation.nonce,
            hello: self.hello.0,
            host: Some(host),
            capacity: Some(ha::Resources { cpu: capacity.cpu, memory: capacity.memory, gpu: capacity.gpu }),
            shims: vec![Shim::Host.number()],
            ..ha::Hello::default()
        };
        self.roster.describe(&mut hello);
        hello
    }

    fn on_attached(&mut self, link: Box<Link>, hello_sent: Instant, welcome: ha::Welcome) {
        tracing::info!(leader = link.endpoint, epoch = welcome.epoch, hello = %self.hello, "attached to the leader");
        self.metrics.attached();
        self.finder.on_welcome(&link.endpoint, Term(welcome.term), &welcome.endpoints);
        if let Some(proxy) = &self.proxy {
            proxy.learn(&welcome.client_endpoints);
        }
        let others = self.finder.others_than(&link.endpoint);
        self.news = News::follow(self.channels.clone(), welcome.cluster_id.clone(), others);
        if !self.is_announced {
            announce::attached(&self.identity.node, &link.endpoint);
            self.is_announced = true;
        }
        self.is_first_setback = true;
        self.heartbeats.on_attached();
        self.lease.on_welcome(hello_sent, &welcome);
        self.cluster_id.clone_from(&welcome.cluster_id);
        self.wire = Wire::Up(link);
        let superseded = self.roster.on_welcome(&welcome, &mut self.outbox);
        if superseded > 0 {
            tracing::warn!(
                tasks = superseded,
                "the lease had run out: these tasks were given to others, and what they give here is refused"
            );
            self.metrics.superseded(superseded);
        }
    }

    fn on_setback(&mut self, endpoint: &str, setback: Setback) {
        self.metrics.setback();
        match setback {
            Setback::NotLeader(answer) => self.finder.on_not_leader(&answer.leader, &answer.endpoints),
            Setback::Failed(why) => {
                if std::mem::take(&mut self.is_first_setback) {
                    tracing::info!(endpoint, why, "a coordinator does not answer; looking on");
                } else {
                    tracing::debug!(endpoint, why, "a coordinator does not answer");
                }
                self.finder.on_failure();
            }
            Setback::Unfit(verdict) => {
                self.on_unfit(endpoint, verdict);
                self.finder.on_failure();
            }
            Setback::Refused(refused) => self.on_refused(endpoint, refused),
        }
        self.look_on();
    }

    /// Somebody has to mend something, here or there: it is said once for each coordinator, and tried on.
    fn on_unfit(&mut self, endpoint: &str, verdict: Verdict) {
        if self.unfit.get(endpoint) == Some(&verdict) {
            tracing::debug!(endpoint, ?verdict, "it still does not fit");
            return;
        }
        let why = verdict.explain(TLS_SETTINGS);
        tracing::error!(endpoint, why, "this worker and a coordinator do not come together over TLS; trying on");
        if self.unfit.len() >= UNFIT_MAX {
            self.unfit.clear();
        }
        self.unfit.insert(endpoint.to_owned(), verdict);
    }

    fn on_refused(&mut self, endpoint: &str, refused: ha::Refused) {
        let reason = refused.reason();
        let message = refused.message;
        match reason {
            Reason::StaleHello => self.finder.on_come(endpoint),
            Reason::Superseded => self.stop(Farewell::Superseded(message), Duration::ZERO),
            Reason::NameInUse | Reason::OtherCluster | Reason::Invalid => {
                self.stop(Farewell::Refused(message), Duration::ZERO);
            }
            Reason::Unspecified => {
                tracing::warn!(endpoint, message, "refused for a reason that this worker does not know");
                self.finder.on_failure();
            }
        }
    }

    fn on_broken(&mut self, why: &str) {
        tracing::info!(why, "lost the leader; looking for it, tasks go on");
        self.metrics.detached();
        self.outbox.clear();
        self.lease.on_broken();
        self.roster.on_detached();
        self.look_on();
    }

    /// Somebody has told who leads. A leader that was replaced may not know it yet, or be gone without a word; what is
    /// tried meanwhile is somebody else.
    fn on_news(&mut self, leading: &Leading) {
        if !self.finder.on_news(leading.term) || self.wire.is_with(&leading.endpoint) {
            return;
        }
        tracing::info!(leader = leading.endpoint, term = %leading.term, "told of a new leader");
        self.finder.on_come(&leading.endpoint);
        match &self.wire {
            Wire::Up(_) => self.on_broken("another coordinator leads now"),
            Wire::Waiting { .. } | Wire::Dialing { .. } => self.look_on(),
        }
    }

    fn look_on(&mut self) {
        let next = self.finder.next_try();
        let pause = next.wait_max.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.wire = Wire::waiting(next.endpoint, pause);
    }

    // ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn on_frame(&mut self, frame: Down) {
        let outbox = &mut self.outbox;
        match frame {
            Down::Start(start) => self.roster.on_start(start, outbox),
            Down::Assign(assign) => self.roster.on_assign(assign.tasks, outbox),
            Down::Recall(recall) => self.roster.on_recall(&recall.tokens, outbox),
            Down::Cancel(cancel) => self.roster.on_cancel(&cancel.tokens, outbox),
            Down::Stop(stop) => self.roster.on_stop(ExecutorKey(stop.executor), outbox),
            Down::Recorded(recorded) => self.roster.on_recorded(&recorded.tokens),
            Down::LeaseAck(ack) => self.on_lease_ack(ack.number),
            Down::ReadInstallLog(question) => outbox.push_frame(Up::InstallLog(self.installer.answer(&question))),
            Down::Welcome(_) => self.on_broken("it said Welcome twice"),
            Down::NotLeader(answer) => {
                self.finder.on_not_leader(&answer.leader, &answer.endpoints);
                self.on_broken("it leads no more");
            }
            Down::Refused(refused) => {
                let endpoint = match &self.wire {
                    Wire::Up(link) => link.endpoint.clone(),
                    Wire::Waiting { endpoint, .. } | Wire::Dialing { endpoint, .. } => endpoint.clone(),
                };
                self.on_refused(&endpoint, refused);
                self.on_broken("it sent this worker away");
            }
        }
    }

    fn on_lease_ack(&mut self, heartbeat: u64) {
        let answered = self.heartbeats.on_answer(heartbeat);
        if let (Wire::Up(link), Some(sent)) = (&mut self.wire, answered.sent) {
            link.on_answer(sent);
            self.lease.on_renewed(sent);
        }
        if answered.link_holds {
            self.finder.on_settled();
        }
        self.roster.on_lease_ack(heartbeat);
    }

    fn on_reports(&mut self, first: Report) {
        let mut tally = Tally::default();
        tally.add(&first);
        self.roster.on_report(first, &mut self.outbox);
        for _ in 1..REPORTS_AT_ONCE_MAX {
            let Ok(report) = self.reports.try_recv() else { break };
            tally.add(&report);
            self.roster.on_report(report, &mut self.outbox);
        }
        self.metrics.count(&tally);
    }

    /// Sends what there is room for.
    fn flush(&mut self) {
        if self.outbox.is_overfull() {
            self.on_broken("it sends frames and reads none");
        }
        while self.wire.has_room() {
            let frame = match self.outbox.pop(self.roster.held()) {
                None => return,
                Some(Outgoing::Frame(frame)) => Some(*frame),
                Some(Outgoing::End(executor)) => self.roster.tell_end(executor, self.heartbeats.last()),
                Some(Outgoing::Heartbeat) => self.heartbeats.on_turn().map(Up::Heartbeat),
            };
            if let Some(frame) = frame {
                if !matches!(frame, Up::Heartbeat(_)) {
                    self.heartbeats.on_spoken();
                }
                self.wire.send(frame);
            }
        }
    }

    // ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn stop(&mut self, farewell: Farewell, grace: Duration) {
        if self.stopping.is_some() {
            return;
        }
        let limit = grace + self.limits.leave + self.limits.terminate + LAST_RESULTS_WITHIN;
        self.stopping = Some(Stopping { farewell, limit: Box::pin(sleep(limit)) });
        self.roster.stop_all(grace, &mut self.outbox);
    }

    /// Whether nothing is left to wait for: all services have ended, and all results are recorded, or nobody is there
    /// who wants them.
    fn is_done(&self) -> bool {
        let wants_results = matches!(self.stopping, Some(Stopping { farewell: Farewell::Stopped, .. }));
        let is_up = matches!(self.wire, Wire::Up(_));
        self.roster.is_quiet()
            && (!wants_results || !is_up && self.roster.held().is_empty() || is_up && self.has_said_everything())
    }

    fn has_said_everything(&self) -> bool {
        self.roster.held().is_empty() && self.outbox.is_empty()
    }

    /// Goodbye is a promise that nothing of this worker runs any more. If that is not certain the stream just ends, and
    /// the leader waits for the lease to run out.
    async fn leave(self) -> Farewell {
        let goodbye = self.roster.is_quiet().then_some(Up::Goodbye(ha::Goodbye {}));
        if let Wire::Up(link) = self.wire {
            link.close(goodbye).await;
        }
        match self.stopping {
            Some(stopping) => stopping.farewell,
            None => Farewell::Stopped,
        }
    }
}
