//! C4: each task looks to everybody as if one thing happened after the other, in an order that agrees with real time.
//!
//! Reads all operations on a task, what its watches told of its end, and what workers were given and reported, and searches
//! for an order of them that [`crate::task_model`] allows. Every task is searched for itself: an order of the whole is one of
//! every part, and parts are small. Operations on a session are part of the history of each of its tasks.
//!
//! *Source:* M. Herlihy and J. Wing, Linearizability, 1990, with its locality; Jepsen's register tests; etcd #20418 (a stale
//! read by a leader that stood still).

use std::collections::HashMap;

use flame_types::Token;

use super::{Checker, CheckerId, Found};
use crate::facts::{End, EventAt, Facts, Op, OpAt, TaskFacts, ToldBy};
use crate::record::{Answer, ErrorClass, Operation, Outcome, TaskSeen, Witness};
use crate::search::{Linearizability, Timed, search};
use crate::task_model::{Ending, Op as Step, OutputAt, Reading, Reply, State, TaskModel};

/// The checker.
pub const CHECKER: Checker = Checker {
    id: CheckerId::C4,
    promise: "each task looks as if one thing happened after the other",
    source: "Herlihy and Wing 1990; Jepsen's register tests; etcd #20418",
    needs: &[Witness::Clients],
    check,
};

/// Steps of the search for each task. A task has tens of operations; a sound history needs about one step for each.
const STEPS_MAX: u64 = 1_000_000;

fn check(facts: &Facts<'_>, found: &mut Found) {
    let model = TaskModel {
        reports_are_known: facts.header.witnesses.contains(&Witness::Workers),
        retention: facts.header.plan.retention,
    };
    let mut steps = 0;
    for task in &facts.tasks {
        let history = TaskHistory::new(facts, task, model.reports_are_known);
        steps += history.ops.len() as u64;
        match search(&model, &State::default(), &history.ops, STEPS_MAX) {
            Linearizability::Valid => {}
            Linearizability::Invalid { explained, broke_on } => {
                let returned = history.ops.iter().filter(|op| op.ret.is_some()).count();
                let text = format!(
                    "no order explains what was seen of {}: at most {explained} of {returned} operations, not {:?}",
                    task.nonce, history.ops[broke_on].op
                );
                found.broken(history.events[broke_on], text);
            }
            Linearizability::Unknown => {
                let (nonce, ops) = (task.nonce, history.ops.len());
                found.unclear(None, format!("the search for an order of the {ops} operations on {nonce} was given up"));
            }
        }
    }
    found.figure("tasks_searched", facts.tasks.len() as u64);
    found.figure("operations_searched", steps);
}

/// What happened to one task, as the search wants it.
struct TaskHistory<'a, 'r> {
    facts: &'a Facts<'r>,
    task: &'a TaskFacts<'r>,
    ops: Vec<Timed<Step>>,
    /// Where each of them can be found.
    events: Vec<EventAt>,
    outputs: Vec<&'r str>,
    /// Changes that come more than once, by the id they carry.
    repeated: HashMap<&'r str, u32>,
}

impl<'a, 'r> TaskHistory<'a, 'r> {
    fn new(facts: &'a Facts<'r>, task: &'a TaskFacts<'r>, reports_are_known: bool) -> Self {
        let (ops, events, outputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut history = Self { facts, task, ops, events, outputs, repeated: repeated(facts, task) };
        for (op, place) in &task.submits {
            history.submit(*op, *place);
        }
        for op in &task.cancels {
            history.cancel(*op);
        }
        let session = &facts.sessions[task.session];
        for op in &session.closes {
            history.change(*op, Step::Close);
        }
        for op in &session.deletes {
            history.change(*op, Step::Delete);
        }
        for seen in &task.seen {
            let reading = history.reading(seen.task);
            match seen.by {
                ToldBy::Read(op) => history.change(op, Step::Read(reading)),
                // What a watch told was so at some time before; of an end, it is so for ever.
                ToldBy::Watch(at) if seen.task.state.is_terminal() => {
                    history.push(0, Some(at.event), at.event, Step::Told(reading));
                }
                ToldBy::Watch(_) => {}
            }
        }
        for absent in &task.absent {
            history.change(absent.op, Step::ReadAbsent { trimmed: absent.trimmed });
        }
        // Without their reports grants say nothing: a task may have ended under a token that nobody wrote down.
        if reports_are_known {
            history.work();
        }
        history
    }

    fn push(&mut self, call: EventAt, ret: Option<EventAt>, shown: EventAt, op: Step) {
        self.ops.push(Timed { call: call as u64, ret: ret.map(|ret| ret as u64), op });
        self.events.push(shown);
    }

    /// A call and its answer; without an answer it is pending for ever.
    fn change(&mut self, op: OpAt, step: Step) {
        let op = &self.facts.ops[op];
        let ret = op.answer().or(refused_reading(op)).and(op.ret).map(|ret| ret.event);
        self.push(op.call.event, ret, ret.unwrap_or(op.call.event), step);
    }

    fn submit(&mut self, at: OpAt, place: u64) {
        let op = &self.facts.ops[at];
        if op.did_nothing() {
            return;
        }
        let reply = match op.answer() {
            Some(Answer::Submitted { first }) => Reply::Done(Some(flame_types::TaskNo(first.0 + place))),
            _ => Reply::Lost,
        };
        self.change(at, Step::Submit { request: self.request(op), reply });
    }

    fn cancel(&mut self, at: OpAt) {
        let op = &self.facts.ops[at];
        let reply = match (op.end, op.refusal().map(|error| error.class)) {
            (End::Ok(_), _) => Reply::Done(None),
            (_, Some(ErrorClass::TaskEnded)) => Reply::HasEnded,
            (_, Some(ErrorClass::TaskNotFound | ErrorClass::SessionNotFound)) => Reply::NotFound,
            // Refused for another reason, before anything was done.
            (_, Some(_)) => return,
            (_, None) => Reply::Lost,
        };
        let ret = op.ret.filter(|_| reply != Reply::Lost).map(|ret| ret.event);
        let step = Step::Cancel { request: self.request(op), reply };
        self.push(op.call.event, ret, ret.unwrap_or(op.call.event), step);
    }

    fn request(&self, op: &Op<'r>) -> Option<u32> {
        op.operation.request().and_then(|request| self.repeated.get(&*request.0).copied())
    }

    fn reading(&mut self, seen: &'r TaskSeen) -> Reading {
        let output = seen.output.as_deref().map(|output| self.output(output));
        Reading { number: seen.task, state: seen.state, attempt: seen.attempt, output }
    }

    fn output(&mut self, output: &'r str) -> OutputAt {
        let known = self.outputs.iter().position(|known| *known == output);
        known.unwrap_or_else(|| {
            self.outputs.push(output);
            self.outputs.len() - 1
        }) as OutputAt
    }

    /// A worker heard of its task after the log had given it, at a time that nobody saw: somewhere before.
    fn work(&mut self) {
        let task = self.task;
        let mut known: Vec<Token> = Vec::new();
        for grant in &task.grants {
            if known.contains(&grant.token) {
                continue;
            }
            known.push(grant.token);
            let event = grant.at.event;
            self.push(0, Some(event), event, Step::Grant { token: grant.token, attempt: grant.attempt });
            if let Some(report) = grant.report {
                let outcome = match report.outcome {
                    Outcome::Succeed { output } => Ending::Succeed(output.as_deref().map(|output| self.output(output))),
                    Outcome::Failed { output } => Ending::Failed(output.as_deref().map(|output| self.output(output))),
                };
                let (call, stored) = (report.at.event, report.stored.map(|stored| stored.event));
                self.push(call, stored, call, Step::Report { token: grant.token, outcome });
            }
        }
    }
}

/// A reading that was refused because there is no such thing has been answered.
fn refused_reading<'r>(op: &Op<'r>) -> Option<&'r Answer> {
    const THERE_IS_NONE: &Answer = &Answer::NoTask { trimmed: false };
    let is_reading = matches!(op.operation, Operation::Get { .. });
    (is_reading && op.refusal().is_some()).then_some(THERE_IS_NONE)
}

/// Ids that more than one operation on this task carries.
fn repeated<'r>(facts: &Facts<'r>, task: &TaskFacts<'r>) -> HashMap<&'r str, u32> {
    let ops = task.submits.iter().map(|(op, _)| op).chain(&task.cancels);
    let mut times: HashMap<&str, u32> = HashMap::new();
    for request in ops.filter_map(|op| facts.ops[*op].operation.request()) {
        *times.entry(&request.0).or_default() += 1;
    }
    let mut repeated: Vec<&str> =
        times.into_iter().filter(|(_, times)| *times > 1).map(|(request, _)| request).collect();
    repeated.sort_unstable();
    (0..).zip(repeated).map(|(place, request)| (request, place)).collect()
}
