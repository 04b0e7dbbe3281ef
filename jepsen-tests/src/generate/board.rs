//! What all clients of a workload know together: sessions and tasks that there are, names that are taken.

use std::collections::BTreeMap;

use flame_types::TaskNo;

use super::dice::Dice;
use super::{Fate, Heard, Next, Order, Shape, Size, Work};
use crate::at_rest::Nonce;
use crate::record::{AdminChange, Answer, Nanos, Operation, Request, Text};

/// Tasks that are kept in mind to be read and cancelled: the latest ones.
const TASKS_KEPT_MAX: usize = 256;

/// A client that must wait for another one asks again after so long.
const PATIENCE: Nanos = Nanos::from_millis(20);

/// What is known of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Somebody asked for it.
    Asked,
    /// It is there, or may be.
    Open,
    /// It is closed, or may be.
    Closed,
    /// It is gone, or may be.
    Deleted,
}

/// What all clients of a workload know together.
#[derive(Debug)]
pub struct Board {
    prefix: String,
    dice: Vec<Dice>,
    nodes: u32,
    last_name: u64,
    sessions: BTreeMap<Text, Standing>,
    tasks: Vec<(Text, TaskNo)>,
    next_place: usize,
}

impl Board {
    pub(super) fn new(prefix: &str, seed: u64, size: Size) -> Self {
        let dice = (0..u64::from(size.clients)).map(|client| Dice::of(seed, client)).collect();
        Self {
            prefix: prefix.to_owned(),
            dice,
            nodes: size.nodes,
            last_name: 0,
            sessions: BTreeMap::new(),
            tasks: Vec::new(),
            next_place: 0,
        }
    }

    /// The dice of a client.
    pub(super) fn dice(&mut self, client: usize) -> &mut Dice {
        &mut self.dice[client]
    }

    pub(super) fn nodes(&self) -> u32 {
        self.nodes
    }

    fn name(&mut self, kind: &str) -> Text {
        self.last_name += 1;
        Text::from(format!("{}-{kind}{}", self.prefix, self.last_name))
    }

    fn request(&mut self) -> Option<Request> {
        Some(Request(self.name("r")))
    }

    fn order(&mut self, client: usize, operation: Operation) -> Order {
        let node = self.dice(client).throw();
        Order { node, operation, works: Vec::new(), shape: None, pace: Nanos(0) }
    }

    // ── what can be asked for ───────────────────────────────────────────────────────────────────────────────────

    /// A new session.
    pub(super) fn create(&mut self, client: usize, shape: Option<Shape>) -> (Text, Order) {
        let session = self.name("s");
        self.sessions.insert(session.clone(), Standing::Asked);
        let request = self.request();
        let order = self.order(client, Operation::CreateSession { session: session.clone(), request });
        (session, Order { shape, ..order })
    }

    /// New tasks.
    pub(super) fn submit(&mut self, client: usize, session: &Text, tasks: u64, takes_ms: (u64, u64)) -> Order {
        let works: Vec<Work> = (0..tasks).map(|_| self.work(client, takes_ms)).collect();
        let nonces = works.iter().map(|work| work.nonce.clone()).collect();
        let request = self.request();
        let order = self.order(client, Operation::Submit { session: session.clone(), nonces, request });
        Order { works, ..order }
    }

    fn work(&mut self, client: usize, (shortest_ms, longest_ms): (u64, u64)) -> Work {
        let nonce = Nonce(self.name("t"));
        let dice = self.dice(client);
        let takes = Nanos::from_millis(dice.between(shortest_ms, longest_ms));
        let fate = match dice.below(100) {
            0..=93 => Fate::Succeeds,
            94..=98 => Fate::Fails,
            _ => Fate::KillsItsService,
        };
        Work { nonce, takes, fate }
    }

    /// Reads one task, or `None` when none is known.
    pub(super) fn get(&mut self, client: usize) -> Option<Order> {
        let (session, task) = self.some_task(client)?;
        Some(self.order(client, Operation::Get { session, task }))
    }

    /// Cancels one task, or `None` when none is known.
    pub(super) fn cancel(&mut self, client: usize) -> Option<Order> {
        let (session, task) = self.some_task(client)?;
        let request = self.request();
        Some(self.order(client, Operation::Cancel { session, task, request }))
    }

    pub(super) fn list(&mut self, client: usize, session: &Text) -> Order {
        self.order(client, Operation::List { session: session.clone() })
    }

    pub(super) fn open(&mut self, client: usize, session: &Text) -> Order {
        self.order(client, Operation::OpenSession { session: session.clone(), make: false, request: None })
    }

    pub(super) fn close(&mut self, client: usize, session: &Text, force: bool) -> Order {
        let request = self.request();
        self.order(client, Operation::CloseSession { session: session.clone(), force, request })
    }

    pub(super) fn delete(&mut self, client: usize, session: &Text) -> Order {
        let request = self.request();
        self.order(client, Operation::DeleteSession { session: session.clone(), request })
    }

    /// A watch of a session from its beginning, whose reader is that slow.
    pub(super) fn watch(&mut self, client: usize, session: &Text, every: bool, pace: Nanos) -> Order {
        self.last_name += 1;
        let watch = self.last_name;
        let order = self.order(client, Operation::Watch { session: session.clone(), watch, from: 0, every });
        Order { pace, ..order }
    }

    pub(super) fn admin(&mut self, client: usize, change: AdminChange) -> Order {
        self.order(client, Operation::Admin { change })
    }

    // ── what is there ───────────────────────────────────────────────────────────────────────────────────────────

    /// An open session of those there are.
    pub(super) fn some_session(&mut self, client: usize) -> Option<Text> {
        let open: Vec<Text> = self.with(Standing::Open).cloned().collect();
        self.dice(client).pick(&open).cloned()
    }

    /// Open sessions, and those that may be.
    pub(super) fn open_sessions(&self) -> usize {
        self.with(Standing::Open).count() + self.with(Standing::Asked).count()
    }

    /// Works in one of so many sessions, which are made first.
    pub(super) fn in_sessions(
        &mut self,
        client: usize,
        sessions: usize,
        shape: Option<Shape>,
        then: impl FnOnce(&mut Self, &Text) -> Order,
    ) -> Next {
        if self.open_sessions() < sessions {
            return self.create(client, shape).1.into();
        }
        match self.some_session(client) {
            Some(session) => then(self, &session).into(),
            None => Next::Wait(PATIENCE),
        }
    }

    fn some_task(&mut self, client: usize) -> Option<(Text, TaskNo)> {
        let known = self.tasks.len() as u64;
        if known == 0 {
            return None;
        }
        let place = self.dice(client).below(known) as usize;
        self.tasks.get(place).cloned()
    }

    fn with(&self, standing: Standing) -> impl Iterator<Item = &Text> {
        self.sessions.iter().filter(move |(_, known)| **known == standing).map(|(session, _)| session)
    }

    /// Sessions whose tasks can be listed in the end.
    pub(super) fn listable(&self) -> impl Iterator<Item = &Text> {
        self.with(Standing::Open).chain(self.with(Standing::Closed))
    }

    pub(super) fn farewell(&mut self) -> Vec<Order> {
        let open: Vec<Text> = self.with(Standing::Open).cloned().collect();
        open.iter().map(|session| self.close(0, session, true)).collect()
    }

    // ── what was heard ──────────────────────────────────────────────────────────────────────────────────────────

    pub(super) fn heard(&mut self, operation: &Operation, heard: Heard<'_>) {
        let done = !matches!(heard, Heard::Fail(_));
        match operation {
            Operation::CreateSession { session, .. } => {
                let standing = if done { Standing::Open } else { Standing::Deleted };
                self.now(session, Standing::Asked, standing);
            }
            Operation::CloseSession { session, .. } if done => {
                self.now(session, Standing::Open, Standing::Closed);
                self.tasks.retain(|(of, _)| of != session);
            }
            Operation::DeleteSession { session, .. } if done => {
                self.now(session, Standing::Closed, Standing::Deleted);
            }
            Operation::Submit { session, nonces, .. } => {
                if let Heard::Ok(Answer::Submitted { first }) = heard {
                    for place in 0..nonces.len() as u64 {
                        self.note(session, TaskNo(first.0 + place));
                    }
                }
            }
            _ => {}
        }
    }

    /// A session goes on from where it stood; a late answer of an earlier attempt takes nothing back.
    fn now(&mut self, session: &Text, from: Standing, to: Standing) {
        if let Some(standing) = self.sessions.get_mut(session).filter(|standing| **standing == from) {
            *standing = to;
        }
    }

    fn note(&mut self, session: &Text, task: TaskNo) {
        let entry = (session.clone(), task);
        if self.tasks.contains(&entry) {
            return;
        }
        if self.tasks.len() < TASKS_KEPT_MAX {
            self.tasks.push(entry);
        } else {
            self.next_place = (self.next_place + 1) % TASKS_KEPT_MAX;
            self.tasks[self.next_place] = entry;
        }
    }
}

impl From<Order> for Next {
    fn from(order: Order) -> Self {
        Self::Do(Box::new(order))
    }
}
