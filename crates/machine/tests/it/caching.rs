//! Three cache nodes that do what they are told: they lose their streams, their leases and their disks, and come back. In
//! the end the directory says of each what it has, and what was acknowledged and copied is still there.

use std::collections::{BTreeMap, BTreeSet};

use flame_machine::command::{CacheHello, HeldObject, Host, LeaseEnd, ObjectsChanged};
use flame_machine::{CacheOrder, Command, ObjectRefusal, Reply, copies, reports, view};
use flame_types::{
    DataType, Epoch, Generation, HelloNo, Incarnation, NodeName, ObjectKey, ObjectTarget, ObjectVersion, WallMs,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::config;
use crate::world::World;

/// Objects on one page of an inventory: few, so that there are several.
const PAGE: usize = 2;

/// What a node has.
#[derive(Clone, Copy, Debug)]
struct Mine {
    version: ObjectVersion,
    recorded: Option<Generation>,
}

struct Node {
    name: NodeName,
    incarnation: u64,
    hello: u64,
    /// `None` while it has no stream.
    epoch: Option<Epoch>,
    store: BTreeMap<ObjectKey, Mine>,
}

struct Sim {
    world: World,
    nodes: Vec<Node>,
    /// What clients of durable objects were told to be there.
    acknowledged: BTreeMap<ObjectKey, ObjectVersion>,
}

impl Sim {
    fn new() -> Self {
        let node = |at: usize| Node {
            name: NodeName::parse(&format!("c{at}")).unwrap(),
            incarnation: 1,
            hello: 0,
            epoch: None,
            store: BTreeMap::new(),
        };
        let nodes = (0..3).map(node).collect();
        let mut sim = Self { world: World::new(), nodes, acknowledged: BTreeMap::new() };
        (0..3).for_each(|at| sim.attach(at));
        sim
    }

    /// Applies a command, and does to the nodes what they are ordered.
    fn apply(&mut self, command: Command) -> Reply {
        let mut applied = self.world.apply(0, vec![command]);
        for effect in applied.cache_effects {
            let node = self.nodes.iter_mut().find(|node| node.name == effect.cache).expect("a known node");
            if node.epoch != Some(effect.epoch) {
                continue;
            }
            if let CacheOrder::Drop { objects } = effect.order {
                for (key, version) in objects {
                    if node.store.get(&key).is_some_and(|mine| mine.version <= version) {
                        node.store.remove(&key);
                    }
                }
            }
        }
        applied.replies.remove(0).2
    }

    /// Says Hello, then what it has, page by page.
    fn attach(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.hello += 1;
        let hello = CacheHello {
            cache: node.name.clone(),
            incarnation: Incarnation { started_ms: node.incarnation, nonce: 0 },
            hello: HelloNo(node.hello),
            host: Host::default(),
            endpoint: format!("grpc://{}", node.name),
            memory_bytes: 1 << 20,
            disk_bytes: 1 << 20,
        };
        let Reply::Attached { epoch } = self.apply(Command::CacheHello(Box::new(hello))) else {
            panic!("a Hello was refused")
        };
        self.nodes[at].epoch = Some(epoch);
        let mut after = None;
        loop {
            let rest = self.nodes[at].store.keys().filter(|key| after.as_ref().is_none_or(|after| *key > after));
            let page: Vec<ObjectKey> = rest.take(PAGE).cloned().collect();
            let is_last = page.len() < PAGE;
            let to = page.last().filter(|_| !is_last).cloned();
            self.take_page(at, &page, reports::Span { after, to: to.clone() });
            after = to;
            if is_last {
                return;
            }
        }
    }

    fn take_page(&mut self, at: usize, page: &[ObjectKey], mut span: reports::Span) {
        let held: Vec<HeldObject> = page.iter().map(|key| self.held(at, key, true)).collect();
        let name = self.nodes[at].name.clone();
        let news: BTreeSet<usize> = reports::news(&self.world.state, &name, &held).into_iter().collect();
        let held: Vec<HeldObject> =
            held.into_iter().enumerate().filter(|(at, _)| news.contains(at)).map(|(_, held)| held).collect();
        let named = page.iter().cloned().collect();
        loop {
            let (gone, next) = reports::missing(&self.world.state, &name, &span, &named, 1);
            self.report(at, Vec::new(), gone);
            match next {
                Some(next) => span.after = Some(next),
                None => break,
            }
        }
        self.report(at, held, Vec::new());
    }

    fn held(&self, at: usize, key: &ObjectKey, acknowledged: bool) -> HeldObject {
        let mine = self.nodes[at].store[key];
        HeldObject {
            key: key.clone(),
            version: mine.version,
            size: 10,
            data_type: DataType::parse("raw").unwrap(),
            created: WallMs(1),
            recorded: mine.recorded,
            acknowledged,
            copies: 0,
        }
    }

    /// Reports, and does what the answer says. Returns whether all of it was taken.
    fn report(&mut self, at: usize, held: Vec<HeldObject>, gone: Vec<(ObjectKey, ObjectVersion)>) -> bool {
        let Some(epoch) = self.nodes[at].epoch else { return false };
        if held.is_empty() && gone.is_empty() {
            return true;
        }
        let report = ObjectsChanged { cache: self.nodes[at].name.clone(), epoch, held: held.clone(), gone };
        let reply = self.apply(Command::ObjectsChanged(Box::new(report)));
        let Reply::Objects { refused } = reply else { panic!("{reply:?}") };
        let refused: BTreeMap<u32, ObjectRefusal> = refused.into_iter().collect();
        let generation = self.world.state.generation();
        let store = &mut self.nodes[at].store;
        for (place, held) in (0..).zip(&held) {
            let Some(mine) = store.get_mut(&held.key).filter(|mine| mine.version == held.version) else { continue };
            if refused.contains_key(&place) {
                store.remove(&held.key);
            } else {
                mine.recorded = Some(generation);
            }
        }
        refused.is_empty()
    }

    /// A client puts an object: whoever has it first writes it, if it can be reached, and else the node that was asked.
    fn put(&mut self, at: usize, key: &ObjectKey) {
        let entry = self.world.state.directory().entry(key.as_str());
        let present = entry.map_or(ObjectVersion(0), |row| row.version);
        let first = entry.and_then(|row| self.world.state.directory().live_places(row).next());
        let first = first.and_then(|cache| self.nodes.iter().position(|node| node.name == cache.row.name));
        let writer = first.filter(|first| self.nodes[*first].epoch.is_some()).unwrap_or(at);
        if key.is_durable() && self.nodes[writer].epoch.is_none() {
            return;
        }
        let own = self.nodes[writer].store.get(key).map_or(ObjectVersion(0), |mine| mine.version);
        let version = own.max(present).next();
        self.nodes[writer].store.insert(key.clone(), Mine { version, recorded: None });
        if key.is_durable() {
            let held = self.held(writer, key, false);
            if self.report(writer, vec![held], Vec::new()) {
                self.acknowledged.insert(key.clone(), version);
            }
        }
    }

    /// Tells what is not recorded yet.
    fn flush(&mut self, at: usize) {
        let news = self.nodes[at].store.iter().filter(|(_, mine)| mine.recorded.is_none());
        let news: Vec<ObjectKey> = news.map(|(key, _)| key.clone()).collect();
        let held = news.iter().map(|key| self.held(at, key, true)).collect();
        self.report(at, held, Vec::new());
    }

    fn lose_stream(&mut self, at: usize, expires: bool) {
        let Some(epoch) = self.nodes[at].epoch.take() else { return };
        let cache = self.nodes[at].name.clone();
        self.apply(Command::CacheDetach { cache: cache.clone(), epoch });
        if expires {
            self.apply(Command::CacheExpire { cache, epoch, end: LeaseEnd::RanOut });
        }
    }

    /// The disk of a node is gone. What nobody else holds for the directory is lost.
    fn wipe(&mut self, at: usize) {
        self.lose_stream(at, true);
        self.nodes[at].incarnation += 1;
        self.nodes[at].store.clear();
        let (directory, nodes) = (self.world.state.directory(), &self.nodes);
        self.acknowledged.retain(|key, version| {
            let places = directory.entry(key.as_str()).into_iter().flat_map(|row| &row.places);
            let names: BTreeSet<&NodeName> = places.map(|place| &directory.caches()[place].row.name).collect();
            let mut holders = nodes.iter().filter(|node| names.contains(&node.name));
            holders.any(|node| node.store.get(key).is_some_and(|mine| mine.version >= *version))
        });
    }

    /// Has the nodes fetch what is missing. Returns whether something was.
    fn copy(&mut self) -> bool {
        let missing = copies::page(&self.world.state, None, usize::MAX).0;
        let mut any = false;
        for copies::Copying { cache, key, version, from, .. } in missing {
            let has = |node: &&Node| from.contains(&format!("grpc://{}", node.name));
            let mut holders = self.nodes.iter().filter(has);
            if !holders.any(|node| node.store.get(&key).is_some_and(|mine| mine.version == version)) {
                continue;
            }
            let generation = self.world.state.generation();
            let at = self.nodes.iter().position(|node| node.name == cache).expect("a known node");
            let newer = self.nodes[at].store.get(&key).is_some_and(|mine| mine.version > version);
            if !newer {
                self.nodes[at].store.insert(key.clone(), Mine { version, recorded: Some(generation) });
                let held = self.held(at, &key, true);
                any |= self.report(at, vec![held], Vec::new());
            }
        }
        any
    }

    fn delete(&mut self, target: ObjectTarget) {
        self.acknowledged.retain(|key, _| !target.has(key));
        self.apply(Command::ObjectsDelete { target });
    }

    fn step(&mut self, what: u16, which: u16) {
        let at = usize::from(which % 3);
        let session = ["s", "t", "shared", "pkg"][usize::from(which / 3 % 4)];
        let key = ObjectKey::parse(&format!("app/{session}/o{}", which / 12 % 3)).unwrap();
        match what % 20 {
            0..=7 => self.put(at, &key),
            8..=10 => self.flush(at),
            11..=12 => drop(self.copy()),
            13 => self.delete(ObjectTarget::Object(key)),
            14 => self.delete(ObjectTarget::Session(key.prefix())),
            15 => self.lose_stream(at, which.is_multiple_of(2)),
            16 if which.is_multiple_of(2) => self.wipe(at),
            17 if which.is_multiple_of(8) => {
                self.nodes.iter_mut().for_each(|node| node.epoch = None);
                self.apply(Command::NewGeneration { nonce: u128::from(which) });
            }
            _ if self.nodes[at].epoch.is_none() => self.attach(at),
            _ => {}
        }
    }

    /// Everybody comes back, and all that is to be done is done.
    fn rest(&mut self) {
        for at in 0..self.nodes.len() {
            self.lose_stream(at, false);
            self.attach(at);
            self.flush(at);
        }
        while !self.world.state.directory().doomed().is_empty() {
            self.apply(Command::ObjectsSweep);
        }
        while self.copy() {}
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_the_end_the_directory_says_what_everybody_has(steps in vec(any::<(u16, u16)>(), 1..120)) {
        let mut sim = Sim::new();
        for (what, which) in steps {
            sim.step(what, which);
            sim.world.check().map_err(TestCaseError::fail)?;
        }
        sim.rest();
        sim.world.check().map_err(TestCaseError::fail)?;
        let objects = view::objects(&sim.world.state, None, None, usize::MAX).0;
        for node in &sim.nodes {
            let told = objects.iter().filter(|object| object.places.iter().any(|place| place.cache == node.name));
            let told: BTreeMap<_, _> = told.map(|object| (object.key.clone(), object.version)).collect();
            let has: BTreeMap<_, _> = node.store.iter().map(|(key, mine)| (key.clone(), mine.version)).collect();
            prop_assert_eq!(has, told, "{} has what it is said to have", node.name);
        }
        for object in objects.iter().filter(|object| !object.is_lost()) {
            prop_assert!(object.places.len() >= object.copies as usize, "{:?} lacks copies", object);
        }
        for (key, version) in &sim.acknowledged {
            let found = objects.iter().find(|object| object.key == *key);
            let is_there = found.is_some_and(|object| object.version >= *version && !object.is_lost());
            prop_assert!(is_there, "{key} was acknowledged in version {version}, and now there is {found:?}");
        }
    }
}
