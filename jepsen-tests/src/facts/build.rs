//! The pass itself.
//!
//! Clients come first: they know which number goes with which mark. What workers say of numbers is looked up afterwards.

use std::collections::{HashMap, HashSet};

use flame_types::Token;

use super::faults::Fault;
use super::ops::{At, End, Op};
use super::tasks::{Grant, Report, Start};
use super::{Facts, Malformed, OpAt};
use crate::record::{
    ClientEvent, ClientStep, FaultEvent, FaultStep, Nanos, News, Operation, Process, Recording, TaskSeen, What,
    WorkerEvent, WorkerStep,
};

pub(super) type Built<T = ()> = Result<T, Malformed>;

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

pub(super) struct Builder<'r> {
    pub(super) facts: Facts<'r>,
    /// The open operation of each client.
    open: HashMap<Process, OpAt>,
    /// Clients that have an operation of unknown outcome: they are not heard of again.
    gone: HashSet<Process>,
    /// Watches and the sessions they follow.
    watches: HashMap<u64, &'r str>,
    /// What watches told, until the numbers are known.
    pub(super) told: Vec<(&'r str, &'r TaskSeen, At)>,
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

    // ── workers ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn worker(&mut self, at: At, event: &'r WorkerEvent) -> Built {
        let worker = &*event.worker;
        match &event.step {
            WorkerStep::Granted { executor, session, task: number, token, attempt, nonce } => {
                let session = self.session(session);
                let task = self.task(session, nonce);
                self.number(task, *number, at);
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
            | WorkerStep::Finished { .. }
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
