//! Many objects are deleted at once for everybody who asks, and in pieces from the rows.

use flame_machine::command::{HeldObject, ObjectsChanged};
use flame_machine::{Applied, CacheOrder, Command, Reply, RowChange, Table, copies, view};
use flame_types::{DataType, Epoch, NodeName, ObjectKey, ObjectTarget, ObjectVersion, WallMs, limits};

use crate::language::{Line, command};
use crate::world::World;

const OBJECTS: usize = 3_000;

fn key(session: &str, at: usize) -> ObjectKey {
    ObjectKey::parse(&format!("app/{session}/o{at:05}")).unwrap()
}

fn say(world: &mut World, line: &str) -> Applied {
    let command = command(&world.state, &Line::parse(line));
    world.apply(0, vec![command])
}

fn put(world: &mut World, keys: impl IntoIterator<Item = ObjectKey>) {
    let held = |key| HeldObject {
        key,
        version: ObjectVersion(1),
        size: 10,
        data_type: DataType::parse("raw").unwrap(),
        created: WallMs(1),
        recorded: None,
        acknowledged: true,
        copies: 0,
    };
    let held: Vec<HeldObject> = keys.into_iter().map(held).collect();
    let cache = NodeName::parse("c1").unwrap();
    let epoch = world.state.directory().cache("c1").map_or(Epoch(0), |cache| cache.row.epoch);
    for piece in held.chunks(limits::OBJECTS_PER_REPORT_MAX) {
        let report = ObjectsChanged { cache: cache.clone(), epoch, held: piece.to_vec(), gone: Vec::new() };
        let applied = world.apply(0, vec![Command::ObjectsChanged(Box::new(report))]);
        assert_eq!(applied.replies[0].2, Reply::Objects { refused: Vec::new() });
    }
}

/// A session with objects, and another with one.
fn world() -> World {
    let mut world = World::new();
    for line in ["register app", "create s app=app", "create s2 app=app", "cache c1 disk=1000000"] {
        say(&mut world, line);
    }
    put(&mut world, (0..OBJECTS).map(|at| key("s", at)));
    put(&mut world, [key("s2", 0), key("shared", 0)]);
    world
}

fn shown(world: &World) -> Vec<String> {
    let objects = view::objects(&world.state, None, None, usize::MAX).0;
    objects.iter().map(|object| object.key.to_string()).collect()
}

fn rows_of_objects(applied: &Applied) -> usize {
    let is_object = |change: &&RowChange| {
        let (RowChange::Put(key, _) | RowChange::Delete(key) | RowChange::DeleteRange(key, _)) = change;
        key.table() == Table::Object
    };
    applied.rows.iter().filter(is_object).count()
}

/// Sweeps until nothing is left; says how many entries each piece removed, and what the node was told to drop in all.
fn sweep(world: &mut World, first: Applied) -> (Vec<usize>, usize) {
    let dropped = |applied: &Applied| -> usize {
        let orders = applied.cache_effects.iter().map(|effect| &effect.order);
        orders.map(|order| if let CacheOrder::Drop { objects } = order { objects.len() } else { 0 }).sum()
    };
    let (mut pieces, mut told) = (vec![rows_of_objects(&first)], dropped(&first));
    let mut more = first.directory_dirty;
    while more {
        let applied = say(world, "sweep");
        world.check().unwrap();
        pieces.push(rows_of_objects(&applied));
        told += dropped(&applied);
        more = applied.directory_dirty;
        assert!(pieces.len() < 100, "it does not come to an end: {pieces:?}");
    }
    (pieces, told)
}

#[test]
fn a_deleted_session_has_no_objects_from_then_on() {
    let mut world = world();
    say(&mut world, "close s");
    assert_eq!(shown(&world).len(), OBJECTS + 2, "closed, it keeps them");
    let first = say(&mut world, "delete s");
    world.check().unwrap();
    assert_eq!(shown(&world), ["app/s2/o00000", "app/shared/o00000"], "nobody finds them any more");
    assert!(world.state.directory().entries().len() > 2, "though not all of them have left");
    let (pieces, told) = sweep(&mut world, first);
    assert_eq!(world.state.directory().entries().len(), 2);
    assert_eq!((pieces.iter().sum::<usize>(), told), (OBJECTS, OBJECTS));
    assert!(pieces.iter().all(|piece| *piece <= 512), "{pieces:?}");
}

#[test]
fn what_is_put_under_a_deleted_session_afterwards_stays() {
    let mut world = world();
    say(&mut world, "delete-objects app/s");
    let (early, late) = (key("s", 1), key("s", OBJECTS - 1));
    assert!(world.state.directory().entry(early.as_str()).is_none());
    put(&mut world, [early.clone(), late.clone(), key("s", OBJECTS)]);
    world.restart();
    let (_, told) = sweep(&mut world, Applied { directory_dirty: true, ..Applied::default() });
    let left: Vec<_> = shown(&world);
    assert_eq!(left, ["app/s/o00001", "app/s/o02999", "app/s/o03000", "app/s2/o00000", "app/shared/o00000"]);
    assert!(told < OBJECTS, "{told} were dropped by the sweep");
    assert_eq!(world.state.directory().used_bytes("app"), 50);
}

#[test]
fn an_unregistered_application_takes_along_what_its_sessions_shared() {
    let mut world = world();
    for line in ["close s", "close s2"] {
        say(&mut world, line);
    }
    let first = say(&mut world, "unregister app");
    assert_eq!(shown(&world), [] as [String; 0]);
    sweep(&mut world, first);
    assert_eq!(world.state.directory().entries().len(), 0);
    assert_eq!(world.state.directory().apps().len(), 0);
}

#[test]
fn a_list_comes_in_pages() {
    let world = world();
    let target = ObjectTarget::parse("app/s").unwrap();
    let (mut after, mut seen) = (None, 0);
    loop {
        let (page, next) = view::objects(&world.state, Some(&target), after.as_ref(), 700);
        seen += page.len();
        assert!(page.len() <= 700);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, OBJECTS);
    let beyond = ObjectKey::parse("app/t/o").unwrap();
    assert_eq!(view::objects(&world.state, Some(&target), Some(&beyond), 10), (Vec::new(), None));
    let before = ObjectKey::parse("app/a/o").unwrap();
    assert_eq!(view::objects(&world.state, Some(&target), Some(&before), 10).0.len(), 10);
}

#[test]
fn one_node_alone_has_nobody_to_copy_to() {
    let mut world = world();
    assert_eq!(copies::fresh(&world.state, 10), []);
    say(&mut world, "cache c2 disk=1000000");
    assert_eq!(copies::fresh(&world.state, 10).len(), 1, "what sessions share is wanted twice");
    assert_eq!(copies::page(&world.state, None, 10).0.len(), 1);
}
