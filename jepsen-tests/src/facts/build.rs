//! The pass itself.
//!
//! Clients come first: they know which number goes with which mark. What workers say of numbers is looked up afterwards.

use std::collections::{HashMap, HashSet};

use flame_types::{TaskNo, Token};

use super::faults::Fault;
use super::ops::{At, End, Op};
use super::tasks::{Absent, Grant, Report, Seen, Start, TaskFacts, ToldBy};
use super::{Facts, Malformed, OpAt, SessionAt, SessionFacts, TaskAt};
use crate::at_rest::Nonce;
use crate::record::{
    Answer, ClientEvent, ClientStep, ErrorClass, FaultEvent, FaultStep, Nanos, News, Operation, Process, Recording,
    Request, TaskSeen, What, WorkerEvent, WorkerStep,
};

type Built<T = ()> = Result<T, Malformed>;

pub(super) fn build(recording: &Recording) -> Built<Facts<'_>> {
    let mut builder = Builder::new(recording);
    let mut before = Nanos(0);
    for (event, recorded) in recording.events.iter().enumerate() {
        let at = At { event, time: recorded.time };
        if at.time < before {
            let why = format!("time goes back from {before} to {}; join parts with `merge`", at.time);
            return Err(Malformed { event, why });
        }
        before = at.time;
        match &recorded.what {
            What::Client(client) => builder.client(at, client)?,
            What::Fault(fault) => builder.fault(at, fault)?,
            What::Phase(phase) => builder.facts.enter(*phase, at)?,
            What::Worker(_) | What::Node(_) => {}
        }
    }
    builder.attribute()?;
    for (event, recorded) in recording.events.iter().enumerate() {
        if let What::Worker(worker) = &recorded.what {
            builder.worker(At { event, time: recorded.time }, worker)?;
        }
    }
    Ok(builder.facts)
}

struct Builder<'r> {
    facts: Facts<'r>,
    /// The open operation of each client.
    open: HashMap<Process, OpAt>,
    /// Clients that have an operation of unknown outcome: they are not heard of again.
    gone: HashSet<Process>,
    /// Watches and the sessions they follow.
    watches: HashMap<u64, &'r str>,
    /// What watches told, until the numbers are known.
    told: Vec<(&'r str, &'r TaskSeen, At)>,
    fault_at: HashMap<u32, usize>,
}

impl<'r> Builder<'r> {
    fn new(recording: &'r Recording) -> Self {
        let facts = Facts {
            header: &recording.header,
            events: &recording.events,
            ops: Vec::new(),
            sessions: Vec::new(),
            session_by_name: HashMap::new(),
            tasks: Vec::new(),
            task_by_nonce: HashMap::new(),
            task_by_number: HashMap::new(),
            grant_by_token: HashMap::new(),
            swapped: Vec::new(),
            unknown_tasks: Vec::new(),
            faults: Vec::new(),
            heal: None,
            rest: None,
            drained: None,
        };
        Self {
            facts,
            open: HashMap::new(),
            gone: HashSet::new(),
            watches: HashMap::new(),
            told: Vec::new(),
            fault_at: HashMap::new(),
        }
    }

    // ── clients ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn client(&mut self, at: At, client: &'r ClientEvent) -> Built {
        let process = client.process;
        match &client.step {
            ClientStep::Invoke { node, operation } => {
                if self.gone.contains(&process) {
                    let why = format!("client {process} goes on after an unknown outcome; give it a new number");
                    return Err(Malformed { event: at.event, why });
                }
                let op = self.facts.ops.len();
                if self.open.insert(process, op).is_some() {
                    let why = format!("client {process} asks while it waits for an answer");
                    return Err(Malformed { event: at.event, why });
                }
                if let Operation::Watch { session, watch, .. } = operation
                    && self.watches.insert(*watch, session).is_some_and(|before| *before != **session)
                {
                    let why = format!("watch {watch} follows two sessions");
                    return Err(Malformed { event: at.event, why });
                }
                let end = End::Info(None);
                self.facts.ops.push(Op { process, node: *node, operation, call: at, ret: None, end, again: 0 });
                Ok(())
            }
            ClientStep::Again { .. } => {
                let op = self.open_op(at, process)?;
                self.facts.ops[op].again += 1;
                Ok(())
            }
            ClientStep::Ok(answer) => {
                let op = self.end(at, process, End::Ok(answer))?;
                if self.facts.ops[op].operation.takes(answer) {
                    return Ok(());
                }
                let why = format!("a {} was answered with {answer:?}", self.facts.ops[op].operation.name());
                Err(Malformed { event: at.event, why })
            }
            ClientStep::Fail(error) => self.end(at, process, End::Fail(error)).map(drop),
            ClientStep::Info(error) => {
                self.gone.insert(process);
                self.end(at, process, End::Info(Some(error))).map(drop)
            }
            ClientStep::Told { watch, news } => {
                let Some(session) = self.watches.get(watch).copied() else {
                    return Err(Malformed { event: at.event, why: format!("watch {watch} was never opened") });
                };
                if let News::Task { seen, .. } = news {
                    self.told.push((session, seen, at));
                }
                Ok(())
            }
        }
    }

    fn open_op(&self, at: At, process: Process) -> Built<OpAt> {
        self.open.get(&process).copied().ok_or_else(|| Malformed {
            event: at.event,
            why: format!("client {process} gets an answer and has asked nothing"),
        })
    }

    fn end(&mut self, at: At, process: Process, end: End<'r>) -> Built<OpAt> {
        let at_op = self.open_op(at, process)?;
        self.open.remove(&process);
        let op = &mut self.facts.ops[at_op];
        op.ret = Some(at);
        op.end = end;
        Ok(at_op)
    }

    // ── which task is which ─────────────────────────────────────────────────────────────────────────────────────

    /// Hands every operation to the tasks and sessions it is about.
    fn attribute(&mut self) -> Built {
        for op in 0..self.facts.ops.len() {
            self.attribute_submit(op)?;
        }
        for op in 0..self.facts.ops.len() {
            self.attribute_names(op)?;
        }
        for (session, seen, at) in std::mem::take(&mut self.told) {
            let session = self.session(session);
            self.sighting(session, seen, ToldBy::Watch(at), at);
        }
        // Numbers are known only now.
        for op in 0..self.facts.ops.len() {
            self.attribute_numbers(op);
        }
        let ops = &self.facts.ops;
        for task in &mut self.facts.tasks {
            task.seen.sort_by_key(|seen| match seen.by {
                ToldBy::Read(op) => ops[op].ret,
                ToldBy::Watch(at) => Some(at),
            });
        }
        Ok(())
    }

    fn attribute_submit(&mut self, at: OpAt) -> Built {
        let (operation, call, ret, answer) = {
            let op = &self.facts.ops[at];
            (op.operation, op.call, op.ret, op.answer())
        };
        let Operation::Submit { session, nonces, request } = operation else { return Ok(()) };
        let session = self.session(session);
        for (place, nonce) in nonces.iter().enumerate() {
            let place = place as u64;
            let task = self.task(session, nonce);
            if let Some((other, _)) = self.facts.tasks[task].submits.first()
                && !self.is_same_change(*other, request.as_ref())
            {
                let why =
                    format!("{nonce} is the mark of two changes; draw a mark for each, or send the request id again");
                return Err(Malformed { event: call.event, why });
            }
            self.facts.tasks[task].submits.push((at, place));
            if let (Some(Answer::Submitted { first }), Some(ret)) = (answer, ret) {
                self.number(task, TaskNo(first.0 + place), ret);
            }
        }
        Ok(())
    }

    fn is_same_change(&self, other: OpAt, request: Option<&Request>) -> bool {
        request.is_some() && self.facts.ops[other].operation.request() == request
    }

    /// What names its session or shows its tasks by their marks.
    fn attribute_names(&mut self, at: OpAt) -> Built {
        let (operation, call, ret, answer, nothing) = {
            let op = &self.facts.ops[at];
            (op.operation, op.call, op.ret.unwrap_or(op.call), op.answer(), op.did_nothing())
        };
        match operation {
            Operation::CreateSession { session, .. } | Operation::OpenSession { session, make: true, .. } => {
                let session = self.session(session);
                let creates = &self.facts.sessions[session].creates;
                let is_repeated = creates.iter().any(|other| self.is_same_change(*other, operation.request()));
                self.facts.sessions[session].creates.push(at);
                let made = matches!(answer, Some(Answer::Session { created: true }));
                let deleted =
                    |op: &OpAt| self.facts.ops[*op].answer().is_some() && self.facts.ops[*op].ret < Some(call);
                if made && !is_repeated && self.facts.sessions[session].deletes.iter().any(deleted) {
                    let name = self.facts.sessions[session].name;
                    let why = format!("session {name} is made again after it was deleted; draw an id for each session");
                    return Err(Malformed { event: call.event, why });
                }
            }
            Operation::CloseSession { session, .. } if !nothing => {
                let session = self.session(session);
                self.facts.sessions[session].closes.push(at);
            }
            Operation::DeleteSession { session, .. } if !nothing => {
                let session = self.session(session);
                self.facts.sessions[session].deletes.push(at);
            }
            Operation::Get { session, .. } => {
                let session = self.session(session);
                if let Some(Answer::Task(seen)) = answer
                    && seen.nonce.is_some()
                {
                    self.sighting(session, seen, ToldBy::Read(at), ret);
                }
            }
            Operation::List { session } => {
                let session = self.session(session);
                if let Some(Answer::Tasks { tasks, .. }) = answer {
                    self.facts.sessions[session].lists.push(at);
                    for seen in tasks.iter().filter(|seen| seen.nonce.is_some()) {
                        self.sighting(session, seen, ToldBy::Read(at), ret);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What names its task by number.
    fn attribute_numbers(&mut self, at: OpAt) {
        let (operation, ret, answer, refusal) = {
            let op = &self.facts.ops[at];
            (op.operation, op.ret.unwrap_or(op.call), op.answer(), op.refusal())
        };
        let by_number = |facts: &Facts<'r>, session: &str, task: TaskNo| {
            facts.session(session).and_then(|session| facts.task_by_number.get(&(session, task)).copied())
        };
        match operation {
            Operation::Cancel { session, task, .. } => {
                if let Some(task) = by_number(&self.facts, session, *task) {
                    self.facts.tasks[task].cancels.push(at);
                }
            }
            Operation::Get { session, task } => {
                let Some(known) = by_number(&self.facts, session, *task) else { return };
                let not_found = [ErrorClass::TaskNotFound, ErrorClass::SessionNotFound];
                match answer {
                    Some(Answer::Task(seen)) if seen.nonce.is_none() => {
                        let session = self.facts.tasks[known].session;
                        self.sighting(session, seen, ToldBy::Read(at), ret);
                    }
                    Some(Answer::NoTask { trimmed }) => {
                        self.facts.tasks[known].absent.push(Absent { op: at, trimmed: *trimmed });
                    }
                    None if refusal.is_some_and(|error| not_found.contains(&error.class)) => {
                        self.facts.tasks[known].absent.push(Absent { op: at, trimmed: false });
                    }
                    _ => {}
                }
            }
            Operation::List { session } => {
                if let Some(Answer::Tasks { tasks, trimmed }) = answer {
                    let session = self.session(session);
                    for seen in tasks.iter().filter(|seen| seen.nonce.is_none()) {
                        self.sighting(session, seen, ToldBy::Read(at), ret);
                    }
                    self.attribute_missing(at, session, tasks, *trimmed);
                }
            }
            _ => {}
        }
    }

    /// Tasks that were acknowledged before this list was asked for, and are not in it. Sound lists have as many entries as
    /// there are such tasks, so this costs no more than reading them.
    fn attribute_missing(&mut self, at: OpAt, session: SessionAt, listed: &[TaskSeen], trimmed: u64) {
        let asked = self.facts.ops[at].call;
        let listed: HashSet<TaskNo> = listed.iter().map(|seen| seen.task).collect();
        let mut missing = Vec::new();
        for task in &self.facts.sessions[session].tasks {
            let facts = &self.facts.tasks[*task];
            // Tasks stand in the order in which they were submitted.
            if facts.submits.first().is_some_and(|(op, _)| self.facts.ops[*op].call > asked) {
                break;
            }
            let acknowledged = facts.submits.iter().any(|(op, _)| {
                let op = &self.facts.ops[*op];
                op.answer().is_some() && op.ret.is_some_and(|ret| ret < asked)
            });
            if acknowledged && !facts.numbers.iter().any(|number| listed.contains(number)) {
                missing.push(*task);
            }
        }
        let trimmed = missing.len() as u64 <= trimmed;
        for task in missing {
            self.facts.tasks[task].absent.push(Absent { op: at, trimmed });
        }
    }

    fn session(&mut self, name: &'r str) -> SessionAt {
        let sessions = &mut self.facts.sessions;
        *self.facts.session_by_name.entry(name).or_insert_with(|| {
            let (creates, closes, deletes, lists) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            sessions.push(SessionFacts { name, creates, closes, deletes, lists, tasks: Vec::new() });
            sessions.len() - 1
        })
    }

    fn task(&mut self, session: SessionAt, nonce: &'r Nonce) -> TaskAt {
        let (tasks, sessions) = (&mut self.facts.tasks, &mut self.facts.sessions);
        *self.facts.task_by_nonce.entry(&nonce.0).or_insert_with(|| {
            sessions[session].tasks.push(tasks.len());
            tasks.push(TaskFacts {
                nonce,
                session,
                submits: Vec::new(),
                numbers: Vec::new(),
                cancels: Vec::new(),
                seen: Vec::new(),
                absent: Vec::new(),
                grants: Vec::new(),
                starts: Vec::new(),
            });
            tasks.len() - 1
        })
    }

    fn number(&mut self, task: TaskAt, number: TaskNo, at: At) {
        let facts = &mut self.facts.tasks[task];
        if facts.numbers.contains(&number) {
            return;
        }
        facts.numbers.push(number);
        let first = *self.facts.task_by_number.entry((facts.session, number)).or_insert(task);
        if first != task {
            self.facts.swapped.push((task, first, number, at.event));
        }
    }

    fn sighting(&mut self, session: SessionAt, seen: &'r TaskSeen, by: ToldBy, at: At) {
        let task = match &seen.nonce {
            Some(nonce) => {
                let task = self.task(session, nonce);
                self.number(task, seen.task, at);
                Some(task)
            }
            None => self.facts.task_by_number.get(&(session, seen.task)).copied(),
        };
        // A number without a mark that nobody was told of belongs to a submit of unknown outcome.
        if let Some(task) = task {
            self.facts.tasks[task].seen.push(Seen { task: seen, by });
        }
    }

    // ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn worker(&mut self, at: At, event: &'r WorkerEvent) -> Built {
        let worker = &*event.worker;
        match &event.step {
            WorkerStep::Granted { executor, session, task: number, token, attempt, nonce } => {
                let session = self.session(session);
                let task = match nonce {
                    Some(nonce) => Some(self.task(session, nonce)),
                    None => self.facts.task_by_number.get(&(session, *number)).copied(),
                };
                let Some(task) = task else {
                    self.facts.unknown_tasks.push(at.event);
                    return Ok(());
                };
                if nonce.is_some() {
                    self.number(task, *number, at);
                }
                let grants = &mut self.facts.tasks[task].grants;
                self.facts.grant_by_token.entry(*token).or_insert((task, grants.len()));
                grants.push(Grant {
                    at,
                    worker,
                    executor: *executor,
                    token: *token,
                    attempt: *attempt,
                    report: None,
                    returned: None,
                    stopped: None,
                    refused: None,
                });
            }
            WorkerStep::Started { executor, token, nonce } => {
                let start = Start { at, worker, executor: *executor, token: *token };
                match self.facts.task_by_nonce.get(&*nonce.0) {
                    Some(task) => self.facts.tasks[*task].starts.push(start),
                    None => self.facts.unknown_tasks.push(at.event),
                }
            }
            WorkerStep::Reported { token, outcome } => {
                if let Some(grant) = self.granted(*token) {
                    let first = Report { at, outcome, stored: None };
                    let report = grant.report.get_or_insert(first);
                    if report.outcome != outcome {
                        let why = format!("{worker} reports two different results under token {token}");
                        return Err(Malformed { event: at.event, why });
                    }
                }
            }
            WorkerStep::Stored { token } => {
                if let Some(report) = self.granted(*token).and_then(|grant| grant.report.as_mut()) {
                    report.stored.get_or_insert(at);
                }
            }
            WorkerStep::Returned { token } => self.set(*token, |grant| grant.returned = Some(at)),
            WorkerStep::Stopped { token } => self.set(*token, |grant| grant.stopped = Some(at)),
            WorkerStep::Refused { token } => self.set(*token, |grant| grant.refused = Some(at)),
            WorkerStep::Attached
            | WorkerStep::LeaseLost
            | WorkerStep::Handed { .. }
            | WorkerStep::ExecutorLost { .. } => {}
        }
        Ok(())
    }

    fn granted(&mut self, token: Token) -> Option<&mut Grant<'r>> {
        let (task, grant) = self.facts.grant_by_token.get(&token)?;
        Some(&mut self.facts.tasks[*task].grants[*grant])
    }

    fn set(&mut self, token: Token, change: impl FnOnce(&mut Grant<'r>)) {
        if let Some(grant) = self.granted(token) {
            change(grant);
        }
    }

    // ── the nemesis ─────────────────────────────────────────────────────────────────────────────────────────────

    fn fault(&mut self, at: At, event: &'r FaultEvent) -> Built {
        let number = event.fault;
        let malformed = |why: String| Err(Malformed { event: at.event, why });
        let (kind, targets, from, skipped) = match &event.step {
            FaultStep::Installed { kind, targets } => (*kind, targets.as_slice(), Some(at), None),
            FaultStep::Skipped { kind, why } => (*kind, [].as_slice(), None, Some(why.as_str())),
            FaultStep::Healed => {
                let Some(fault) = self.fault_at.get(&number) else {
                    return malformed(format!("fault {number} is healed and was never installed"));
                };
                self.facts.faults[*fault].to = Some(at);
                return Ok(());
            }
        };
        if self.fault_at.insert(number, self.facts.faults.len()).is_some() {
            return malformed(format!("fault {number} is installed twice; give each a number"));
        }
        self.facts.faults.push(Fault { number, kind, targets, from, skipped, to: None });
        Ok(())
    }
}
