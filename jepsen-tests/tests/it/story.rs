//! Recordings told step by step: a run that keeps every promise, from which the tests change what they are about.

use std::collections::BTreeMap;

use flame_jepsen::checkers::CheckerId;
use flame_jepsen::record::{
    Answer, ClientEvent, ClientStep, Clock, Error, ErrorClass, Event, ExecutorUse, FaultEvent, FaultKind, FaultStep,
    Header, Nanos, News, NodeEvent, NodeStep, Operation, Outcome, Phase, Plan, Process, Recording, Request,
    SessionSeen, Target, TaskSeen, Text, What, Witness, WorkerEvent, WorkerStep, WorkerUse,
};
use flame_jepsen::{Nonce, Report, Ruling, judge};
use flame_types::{CoordinatorId, ExecutorKey, LogIndex, SessionState, TaskNo, TaskState, Term, Token};

/// The session of most stories.
pub const S: &str = "s";

/// The coordinators.
pub const NODES: [u64; 3] = [1, 2, 3];

/// A recording in the making, and what is true in it.
pub struct Story {
    pub recording: Recording,
    /// The time of the next event.
    pub now: Nanos,
    /// The position of the next entry of the log.
    pub index: u64,
    pub term: u64,
    next_process: u32,
    pub tasks: BTreeMap<u64, TaskSeen>,
    pub session_state: SessionState,
}

pub fn nonce(number: u64) -> Nonce {
    Nonce::new(&format!("n-{number}"))
}

pub fn output(number: u64) -> Option<Text> {
    Some(Text::from(format!("out-{number}")))
}

pub fn succeed(number: u64) -> Outcome {
    Outcome::Succeed { output: output(number) }
}

pub fn request(name: &str) -> Option<Request> {
    Some(Request(Text::from(name)))
}

pub fn error(class: ErrorClass) -> Error {
    Error { class, text: String::new() }
}

pub fn submit(numbers: &[u64], id: Option<&str>) -> Operation {
    let nonces = numbers.iter().map(|number| nonce(*number)).collect();
    Operation::Submit { session: S.into(), nonces, request: id.and_then(request) }
}

pub fn get(task: u64) -> Operation {
    Operation::Get { session: S.into(), task: TaskNo(task) }
}

pub fn cancel(task: u64, id: Option<&str>) -> Operation {
    Operation::Cancel { session: S.into(), task: TaskNo(task), request: id.and_then(request) }
}

pub fn close(force: bool) -> Operation {
    Operation::CloseSession { session: S.into(), force, request: None }
}

pub fn submitted(first: u64) -> Answer {
    Answer::Submitted { first: TaskNo(first) }
}

/// A task as a node shows it: its mark and output are those of its number.
pub fn seen(number: u64, state: TaskState) -> TaskSeen {
    let output = (state == TaskState::Succeed).then(|| output(number)).flatten();
    TaskSeen { task: TaskNo(number), nonce: Some(nonce(number)), state, attempt: None, output, completions: None }
}

impl Story {
    /// A session, three nodes that know their leader, and a client that watches.
    pub fn new() -> Self {
        let plan = Plan::default();
        let witnesses = Witness::ALL.into_iter().collect();
        let header = Header { run: "story".into(), clock: Clock::Simulated, seed: Some(7), witnesses, plan };
        let mut story = Self {
            recording: Recording { header, events: Vec::new() },
            now: Nanos(0),
            index: 1,
            term: 1,
            next_process: 0,
            tasks: BTreeMap::new(),
            session_state: SessionState::Open,
        };
        story.leader(1);
        for worker in ["worker-1", "worker-2"] {
            story.worker(worker, WorkerStep::Attached);
        }
        let create = Operation::CreateSession { session: S.into(), request: request("create") };
        story.does(create, Answer::Session { created: true });
        story.watch(1, 0);
        story
    }

    pub fn plan(&mut self) -> &mut Plan {
        &mut self.recording.header.plan
    }

    // ── events ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// One more event, a millisecond after the last one.
    pub fn tell(&mut self, what: What) -> usize {
        self.now = self.now.plus(Nanos::from_millis(1));
        self.recording.events.push(Event { time: self.now, what });
        self.recording.events.len() - 1
    }

    /// Nothing happens for so long.
    pub fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(Nanos::from_millis(millis));
    }

    pub fn client(&mut self, process: Process, step: ClientStep) -> usize {
        self.tell(What::Client(ClientEvent { process, step }))
    }

    pub fn worker(&mut self, worker: &str, step: WorkerStep) -> usize {
        self.tell(What::Worker(WorkerEvent { worker: worker.into(), step }))
    }

    pub fn node(&mut self, node: u64, step: NodeStep) -> usize {
        self.tell(What::Node(NodeEvent { node: CoordinatorId(node), step }))
    }

    /// The same of all nodes.
    pub fn nodes(&mut self, step: &NodeStep) {
        for node in NODES {
            self.node(node, step.clone());
        }
    }

    pub fn fault(&mut self, fault: u32, kind: FaultKind, targets: &[Target]) {
        self.tell(What::Fault(FaultEvent { fault, step: FaultStep::Installed { kind, targets: targets.to_vec() } }));
    }

    pub fn heal(&mut self, fault: u32) {
        self.tell(What::Fault(FaultEvent { fault, step: FaultStep::Healed }));
    }

    // ── clients ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// A client that nobody was yet asks.
    pub fn asks(&mut self, operation: Operation) -> Process {
        self.asks_node(None, operation)
    }

    pub fn asks_node(&mut self, node: Option<u64>, operation: Operation) -> Process {
        let process = Process(self.next_process);
        self.next_process += 1;
        self.client(process, ClientStep::Invoke { node: node.map(CoordinatorId), operation });
        process
    }

    pub fn ok(&mut self, process: Process, answer: Answer) -> usize {
        self.client(process, ClientStep::Ok(answer))
    }

    pub fn fails(&mut self, process: Process, class: ErrorClass) -> usize {
        self.client(process, ClientStep::Fail(error(class)))
    }

    pub fn lost(&mut self, process: Process) -> usize {
        self.client(process, ClientStep::Info(error(ErrorClass::Timeout)))
    }

    /// Asked and answered.
    pub fn does(&mut self, operation: Operation, answer: Answer) -> usize {
        let process = self.asks(operation);
        self.ok(process, answer)
    }

    /// Asked and refused.
    pub fn refused(&mut self, operation: Operation, class: ErrorClass) -> usize {
        let process = self.asks(operation);
        self.fails(process, class)
    }

    /// Submits one task and is told its number, which is that of its mark.
    pub fn submit(&mut self, number: u64) {
        self.does(submit(&[number], Some(&format!("r-{number}"))), submitted(number));
        self.is(number, TaskState::Pending);
    }

    /// A client reads a task.
    pub fn reads(&mut self, seen: TaskSeen) -> usize {
        self.does(get(seen.task.0), Answer::Task(seen))
    }

    /// From now on this is true of the task.
    pub fn is(&mut self, number: u64, state: TaskState) {
        self.tasks.insert(number, seen(number, state));
    }

    pub fn watch(&mut self, watch: u64, from: u64) {
        let operation = Operation::Watch { session: S.into(), watch, from, every: false };
        self.does(operation, Answer::Done);
    }

    pub fn news(&mut self, watch: u64, revision: u64, seen: TaskSeen) -> usize {
        let news = News::Task { revision, seen };
        self.client(Process(1_000_000), ClientStep::Told { watch, news })
    }

    // ── the cluster ─────────────────────────────────────────────────────────────────────────────────────────────

    /// A new leader, and everybody knows it.
    pub fn leader(&mut self, node: u64) {
        self.node(node, NodeStep::Leads { term: Term(self.term) });
        for other in NODES.into_iter().filter(|other| *other != node) {
            self.node(other, NodeStep::Follows { term: Term(self.term), leader: CoordinatorId(node) });
        }
    }

    pub fn new_leader(&mut self, node: u64) {
        self.term += 1;
        self.leader(node);
    }

    /// An entry: its position.
    pub fn entry(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// All nodes say what their state is after the last entry.
    pub fn digests(&mut self) {
        let (index, digest) = (LogIndex(self.index), Text::from(format!("digest-{}", self.index)));
        self.nodes(&NodeStep::Durable { last: index });
        self.nodes(&NodeStep::Applied { index, term: Term(self.term), digest });
    }

    /// The log gives the task to the worker, which hears of it.
    pub fn grant(&mut self, number: u64, worker: &str, token: u64, attempt: u32) {
        let (session, task, index) = (Text::from(S), TaskNo(number), LogIndex(self.entry()));
        let token = Token(token);
        self.nodes(&NodeStep::Assigned { index, session: session.clone(), task, token, worker: worker.into() });
        let (executor, nonce) = (executor(worker), nonce(number));
        self.worker(worker, WorkerStep::Granted { executor, session, task, token, attempt, nonce });
        self.is(number, TaskState::Running);
    }

    pub fn start(&mut self, number: u64, worker: &str, token: u64) -> usize {
        let step = WorkerStep::Started { executor: executor(worker), token: Token(token), nonce: nonce(number) };
        self.worker(worker, step)
    }

    pub fn report(&mut self, worker: &str, token: u64, outcome: Outcome) -> usize {
        self.worker(worker, WorkerStep::Finished { token: Token(token) });
        self.worker(worker, WorkerStep::Reported { token: Token(token), outcome })
    }

    /// The log records a result, and the watch tells it.
    pub fn record(&mut self, number: u64, token: u64, state: TaskState) -> u64 {
        let index = self.entry();
        let (session, task) = (Text::from(S), TaskNo(number));
        let output = (state == TaskState::Succeed).then(|| output(number)).flatten();
        let (token, at) = (Token(token), LogIndex(index));
        self.nodes(&NodeStep::Recorded { index: at, session, task, token, state, output });
        self.is(number, state);
        if state.is_terminal() {
            self.news(1, index, seen(number, state));
        }
        index
    }

    pub fn stored(&mut self, worker: &str, token: u64) -> usize {
        self.worker(worker, WorkerStep::Stored { token: Token(token) })
    }

    /// The log takes the task back without a result.
    pub fn release(&mut self, number: u64, token: u64) {
        let (session, task, index) = (Text::from(S), TaskNo(number), LogIndex(self.entry()));
        self.nodes(&NodeStep::Released { index, session, task, token: Token(token) });
        self.is(number, TaskState::Pending);
    }

    pub fn evict(&mut self, worker: &str, said: bool) {
        let index = LogIndex(self.entry());
        self.nodes(&NodeStep::Evicted { index, worker: worker.into(), said });
    }

    /// The task's whole way under one token, from the worker that is given it to the record.
    pub fn run(&mut self, number: u64, worker: &str, token: u64) {
        self.grant(number, worker, token, 1);
        self.start(number, worker, token);
        self.report(worker, token, succeed(number));
        self.record(number, token, TaskState::Succeed);
        self.stored(worker, token);
    }

    // ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Heals, rests, reads everything on every node, drains.
    pub fn end(mut self) -> Recording {
        self.tell(What::Phase(Phase::HealBegan));
        self.tell(What::Phase(Phase::AtRest));
        self.last_reads();
        self.digests();
        self.samples(0);
        self.tell(What::Phase(Phase::Drained));
        self.samples(0);
        self.recording
    }

    pub fn last_reads(&mut self) {
        for node in NODES {
            let tasks: Vec<TaskSeen> = self.tasks.values().cloned().collect();
            self.lists(node, tasks);
            let sessions = vec![SessionSeen { session: S.into(), state: self.session_state }];
            let process = self.asks_node(Some(node), Operation::ListSessions);
            self.ok(process, Answer::Sessions { sessions });
        }
    }

    pub fn lists(&mut self, node: u64, tasks: Vec<TaskSeen>) -> usize {
        let process = self.asks_node(Some(node), Operation::List { session: S.into() });
        self.ok(process, Answer::Tasks { tasks, trimmed: 0 })
    }

    /// What there is of everything: nothing is used, so many requests are remembered.
    pub fn samples(&mut self, remembered: u64) {
        let usage =
            |worker: &str| WorkerUse { worker: worker.into(), capacity: 4, allocated: 0, executors: Vec::new() };
        let workers = vec![usage("worker-1"), usage("worker-2")];
        let index = LogIndex(self.index);
        self.node(1, NodeStep::Usage { index, running: 0, pending: 0, workers });
        let (max, drained) = (Some(1_000), Some(0));
        self.node(1, NodeStep::Gauge { name: "queue".into(), value: remembered, max, drained });
    }
}

/// Each worker of the stories has one.
pub fn executor(worker: &str) -> ExecutorKey {
    ExecutorKey(worker.bytes().map(u64::from).sum())
}

/// A worker with one executor.
pub fn one_executor(worker: &str, size: u64, running: u32) -> WorkerUse {
    let executors = vec![ExecutorUse { executor: executor(worker), size, slots: 1, running }];
    WorkerUse { worker: worker.into(), capacity: 4, allocated: size, executors }
}

/// Every checker is content.
#[track_caller]
pub fn accepted(recording: &Recording) -> Report {
    let report = judge(recording).expect("the recording does not contradict itself");
    assert_eq!(report.ruling, Ruling::Valid, "{report}");
    report
}

/// This checker finds this, whatever others find besides.
#[track_caller]
pub fn rejected(recording: &Recording, by: CheckerId, text: &str) -> Report {
    let report = judge(recording).expect("the recording does not contradict itself");
    assert_eq!(report.ruling, Ruling::Invalid, "{report}");
    let judged = report.of(by);
    assert_eq!(judged.ruling, Ruling::Invalid, "{by} found nothing: {report}");
    let notes: Vec<&str> = judged.found.broken.iter().map(|note| &*note.text).collect();
    assert!(notes.iter().any(|note| note.contains(text)), "{by} does not say {text:?}: {notes:#?}");
    report
}
