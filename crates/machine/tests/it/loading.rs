//! Rows that do not belong together are refused; they are never loaded in part.

use flame_machine::{Row, RowKey, State, Table};
use flame_types::{SessionKey, TaskNo};

use crate::language::{Line, command};
use crate::world::World;

/// A world in which a task runs.
fn world() -> World {
    let mut world = World::new();
    for line in [
        "register app",
        "create s app=app max=1",
        "submit s 3 key=1",
        "hello w1",
        "client 1",
        "cache c1",
        "has c1 app/s/o@1",
    ] {
        let command = command(&world.state, &Line::parse(line));
        world.apply(0, vec![command]);
    }
    world.settle();
    let ready = command(&world.state, &Line::parse("ready w1 1 1 publish=x"));
    world.apply(0, vec![ready]);
    world
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let world = world();
    let mut rows = world.live_rows();
    rows.reverse();
    assert_eq!(State::load(rows).expect("the rows are whole"), world.state);
}

#[test]
fn bulk_rows_are_passed_over() {
    let world = world();
    assert!(world.rows.len() > world.live_rows().len());
    assert_eq!(State::load(world.rows.clone()).expect("the rows are whole"), world.state);
}

#[test]
fn a_missing_row_is_noticed() {
    let world = world();
    let others_refer_to = [Table::App, Table::SessionSpec, Table::Executor, Table::Cache];
    for table in others_refer_to {
        let rows = world.live_rows().into_iter().filter(|(key, _)| key.table() != table);
        let error = State::load(rows).expect_err("something refers to it");
        assert!(error.to_string().contains("not there"), "{table:?}: {error}");
    }
}

#[test]
fn a_row_in_the_wrong_table_is_noticed() {
    let mut rows = world().live_rows();
    let key = RowKey::session(Table::Session, SessionKey(1));
    rows.push((key, Row::PendingRange(TaskNo(3))));
    assert!(State::load(rows).is_err());
}

#[test]
fn a_damaged_key_is_noticed() {
    for key in [vec![], vec![200], vec![Table::Session as u8, 1], vec![Table::Idempotency as u8, 0, 0]] {
        let row = if key.first() == Some(&(Table::Idempotency as u8)) {
            Row::Idempotency(flame_machine::row::IdempotencyRow { first: TaskNo(1), count: 1, hash: 0 })
        } else {
            Row::Session(Box::default())
        };
        let mut rows = world().live_rows();
        rows.push((RowKey(key.clone()), row));
        assert!(State::load(rows).is_err(), "{key:?}");
    }
}
