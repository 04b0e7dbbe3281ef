//! What is kept of what happened in the cluster: the last of it, by number, and nothing of it in memory.

use flame_machine::{ClusterEvent, Command, Row, RowKey, State, Table, digest};
use flame_types::limits::CLUSTER_EVENTS_MAX;
use flame_types::{CoordinatorId, EventNo, NodeName, Term};
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::language::{Line, command};
use crate::world::World;

/// The numbers of the events that are kept.
fn kept(world: &World) -> Vec<u64> {
    let keys = world.rows.keys().filter(|key| key.table() == Table::ClusterEvent);
    keys.map(|key| key.number_at(0).expect("events have numbers")).collect()
}

fn event(world: &World, number: u64) -> ClusterEvent {
    match &world.rows[&RowKey::cluster_event(EventNo(number))] {
        Row::ClusterEvent(row) => row.what.clone(),
        other => panic!("{other:?} is no event"),
    }
}

#[test]
fn the_oldest_leave_when_there_are_too_many() {
    let mut world = World::new();
    let hello = command(&world.state, &Line::parse("hello w1"));
    world.apply(0, vec![hello]);
    let node = || NodeName::parse("w1").unwrap();
    let cordons = |from: u64, to: u64| (from..to).map(|at| Command::Cordon { node: node(), on: at % 2 == 0 }).collect();
    world.apply(0, cordons(0, CLUSTER_EVENTS_MAX - 1));
    assert_eq!(kept(&world), (1..=CLUSTER_EVENTS_MAX).collect::<Vec<_>>(), "just so many as there may be");
    world.apply(0, cordons(CLUSTER_EVENTS_MAX - 1, CLUSTER_EVENTS_MAX + 4));
    assert_eq!(kept(&world), (6..=CLUSTER_EVENTS_MAX + 5).collect::<Vec<_>>(), "one leaves for each that comes");
    assert_eq!(world.state.cluster().next_event, EventNo(CLUSTER_EVENTS_MAX + 6));
}

#[test]
fn members_are_told_by_whoever_applies_the_entry_that_changes_them() {
    let mut world = World::new();
    world.apply(5, vec![Command::Tick]);
    let ids = |ids: &[u64]| ids.iter().copied().map(CoordinatorId).collect::<Vec<_>>();
    let mut rows = Vec::new();
    world.state.members_changed(ids(&[1, 2, 3]), ids(&[4]), &mut rows);
    world.write(rows);
    world.check().expect("the rows are those of the state");
    let told = event(&world, 1);
    assert_eq!(told, ClusterEvent::MembersChanged { voters: ids(&[1, 2, 3]), learners: ids(&[4]) });
    assert_eq!(told.to_string(), "the voters are 1, 2, 3, the learners 4");
    world.restart();
    let applied = world.apply(0, vec![Command::LeaderStart { leader: CoordinatorId(2) }]);
    assert_eq!(applied.replies.len(), 1);
    assert_eq!(event(&world, 2), ClusterEvent::LeaderStarted { leader: CoordinatorId(2), term: Term(1) });
}

/// A cluster at work writes none: tasks may be as many as they like.
#[test]
fn tasks_are_no_events() {
    let mut world = World::new();
    for line in ["register app", "create s app=app max=1", "hello w1"] {
        let command = command(&world.state, &Line::parse(line));
        world.apply(0, vec![command]);
    }
    world.settle();
    let before = kept(&world);
    for line in ["ready w1 1 1", "submit s 50", "complete w1 1", "submit s 100 array", "complete w1 2", "cancel s 70"] {
        let command = command(&world.state, &Line::parse(line));
        world.apply(0, vec![command]);
    }
    world.settle();
    assert_eq!(kept(&world), before);
}

proptest! {
    #![proptest_config(config())]

    /// Whatever happens: the numbers of those that are kept follow each other up to the last, a node that starts from its
    /// rows goes on with the next, and what is refused writes none.
    #[test]
    fn numbers_have_no_gaps(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let before = world.state.cluster().next_event.0;
            let alone = batch.items.len() == 1 && batch.cluster_delta_ms == 0;
            let applied = world.apply_batch(batch);
            let next = world.state.cluster().next_event.0;
            let refused = matches!(applied.replies.as_slice(), [(_, _, flame_machine::Reply::Refused(_))]);
            prop_assert!(next >= before && !(alone && refused && next != before), "{} after {}", next, before);
            let numbers = kept(world);
            prop_assert_eq!(&numbers, &(next - numbers.len() as u64..next).collect::<Vec<_>>());
            prop_assert!(numbers.first().is_none_or(|first| *first == 1), "so few are all there");
            let loaded = State::load(world.rows.clone()).expect("the rows are whole");
            prop_assert_eq!(loaded.cluster().next_event.0, next);
            prop_assert_eq!(digest::digest(&loaded), digest::digest(&world.state));
            Ok(())
        })?;
    }
}
