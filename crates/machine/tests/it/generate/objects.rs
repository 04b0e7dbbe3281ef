//! Random commands of the object cache: three nodes, two applications, a dozen objects in sessions that come and go.

use flame_machine::command::{CacheHello, HeldObject, Host, LeaseEnd, ObjectsChanged};
use flame_machine::{Command, ObjectsConfig, State};
use flame_types::{
    DataType, Epoch, Generation, HelloNo, Incarnation, NodeName, ObjectKey, ObjectTarget, ObjectVersion, WallMs,
};

/// Limits that random batches reach.
pub fn config(which: u64) -> ObjectsConfig {
    ObjectsConfig {
        copies: 1 + (which % 3) as u32,
        session_copies: 1 + (which % 5 / 3) as u32,
        app_bytes_max: 100 + which % 300,
    }
}

/// The command of a step from 100 on.
pub fn command(state: &State, what: u16, which: u64, other: u64) -> Command {
    match what {
        100..=103 => Command::CacheHello(Box::new(hello(state, which, other))),
        104 => Command::CacheDetach { cache: cache(which), epoch: epoch(state, which, other) },
        105 => {
            let end = if other.is_multiple_of(3) { LeaseEnd::Goodbye } else { LeaseEnd::RanOut };
            Command::CacheExpire { cache: cache(which), epoch: epoch(state, which, other), end }
        }
        106..=120 => Command::ObjectsChanged(Box::new(report(state, which, other))),
        121 if which.is_multiple_of(4) => Command::CacheRemove { cache: cache(which) },
        121..=123 => Command::ObjectsDelete { target: target(which, other) },
        _ => Command::ObjectsSweep,
    }
}

fn cache(which: u64) -> NodeName {
    NodeName::parse(&format!("c{}", which % 3)).unwrap()
}

fn epoch(state: &State, which: u64, other: u64) -> Epoch {
    let present = state.directory().cache(cache(which).as_str()).map_or(0, |cache| cache.row.epoch.0);
    Epoch(if other.is_multiple_of(16) { present.saturating_sub(1) } else { present })
}

fn key(which: u64, other: u64) -> ObjectKey {
    let session = ["s0", "s1", "s2", "shared", "pkg"][(which % 5) as usize];
    let app = if other.is_multiple_of(3) { "b" } else { "a" };
    ObjectKey::parse(&format!("{app}/{session}/o{}", other % 3)).unwrap()
}

fn target(which: u64, other: u64) -> ObjectTarget {
    let key = key(which, other);
    match other % 5 {
        0 => ObjectTarget::Session(key.prefix()),
        1 if which.is_multiple_of(4) => ObjectTarget::App(key.object_app()),
        _ => ObjectTarget::Object(key),
    }
}

fn hello(state: &State, which: u64, other: u64) -> CacheHello {
    let name = cache(which);
    let known = state.directory().cache(name.as_str()).map(|cache| &cache.row);
    let mut incarnation = known.map_or(Incarnation { started_ms: 1, nonce: 0 }, |row| row.incarnation);
    match other % 8 {
        0 => incarnation.started_ms += 1,
        1 => incarnation.started_ms = incarnation.started_ms.saturating_sub(1),
        _ => {}
    }
    let next = HelloNo(known.map_or(1, |row| row.hello.0 + 1));
    let host = Host { name: if other % 17 == 3 { "elsewhere".into() } else { "here".into() }, ..Host::default() };
    CacheHello {
        endpoint: format!("grpc://{name}:9090"),
        cache: name,
        incarnation,
        hello: if other % 16 == 2 { HelloNo(0) } else { next },
        host,
        memory_bytes: 100,
        disk_bytes: if other.is_multiple_of(4) { 0 } else { 1_000 },
    }
}

/// Mostly what a node could say that knows of the others, sometimes what one says that does not.
fn report(state: &State, which: u64, other: u64) -> ObjectsChanged {
    let held = (0..1 + other % 3).map(|at| held(state, which / 3 + at, other / 7 + at * 5)).collect();
    let gone = (0..other % 2).map(|at| {
        let key = key(which / 5 + at, other / 11);
        let version = state.directory().entries().get(&key).map_or(ObjectVersion(1), |row| row.version);
        (key, version)
    });
    ObjectsChanged { cache: cache(which), epoch: epoch(state, which, other), held, gone: gone.collect() }
}

fn held(state: &State, which: u64, other: u64) -> HeldObject {
    let key = key(which, other);
    let present = state.directory().entries().get(&key).map_or(0, |row| row.version.0);
    let generation = state.generation();
    let (version, recorded) = match other % 8 {
        0..=3 => (present + 1, None),
        4..=5 => (present.max(1), Some(generation)),
        6 => (present.saturating_sub(1), (which.is_multiple_of(2)).then_some(generation)),
        _ => (present + 2, Some(Generation(generation.0.saturating_sub(1)))),
    };
    HeldObject {
        key,
        version: ObjectVersion(version),
        size: which * 7 % 90,
        data_type: DataType::parse(if other.is_multiple_of(2) { "raw" } else { "json" }).unwrap(),
        created: WallMs(1_000),
        recorded,
        acknowledged: which % 3 == 1,
        copies: (which % 4) as u32,
    }
}
