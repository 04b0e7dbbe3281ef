//! Which operation is about which task.
//!
//! Marks come first: a submit names its marks, readings show them, and so the number of each mark is known. Then what names its
//! task by number finds it.

use std::collections::HashSet;

use flame_types::TaskNo;

use super::build::{Builder, Built};
use super::ops::At;
use super::tasks::{Absent, Seen, TaskFacts, ToldBy};
use super::{Facts, Malformed, OpAt, SessionAt, SessionFacts, TaskAt};
use crate::at_rest::Nonce;
use crate::record::{Answer, ErrorClass, Operation, Request, TaskSeen};

impl<'r> Builder<'r> {
    /// Hands every operation to the tasks and sessions it is about.
    pub(super) fn attribute(&mut self) -> Built {
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

    pub(super) fn session(&mut self, name: &'r str) -> SessionAt {
        let sessions = &mut self.facts.sessions;
        *self.facts.session_by_name.entry(name).or_insert_with(|| {
            let (creates, closes, deletes, lists) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            sessions.push(SessionFacts { name, creates, closes, deletes, lists, tasks: Vec::new() });
            sessions.len() - 1
        })
    }

    pub(super) fn task(&mut self, session: SessionAt, nonce: &'r Nonce) -> TaskAt {
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

    pub(super) fn number(&mut self, task: TaskAt, number: TaskNo, at: At) {
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
}
