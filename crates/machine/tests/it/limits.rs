//! What is larger than it may be is cut or refused when it is recorded, whoever proposed it.

use flame_machine::command::{Completion, Outcome};
use flame_machine::{Command, Row, RowChange};
use flame_types::{NodeName, Payload, TaskState, Token, limits};

use crate::language::{Line, command};
use crate::world::World;

/// How a task ends whose service gives this.
fn recorded(outcome: Outcome) -> (TaskState, Option<Payload>, Option<String>) {
    let mut world = World::new();
    for line in ["register app", "hello w1", "create s app=app", "submit s 1"] {
        let command = command(&world.state, &Line::parse(line));
        world.apply(0, vec![command]);
    }
    world.settle();
    let ready = command(&world.state, &Line::parse("ready w1 1 1"));
    world.apply(0, vec![ready]);
    let completion = Completion { token: Token(1), outcome, ran_us: 1, attributes: Default::default() };
    let node = NodeName::parse("w1").unwrap();
    let applied = world.apply(0, vec![Command::Complete { node, done: vec![completion] }]);
    let finished = applied.rows.into_iter().find_map(|change| match change {
        RowChange::Put(_, Row::Finished(row)) => Some((row.state, row.output, row.message)),
        _ => None,
    });
    finished.expect("the task has ended")
}

#[test]
fn the_largest_output_is_recorded() {
    let output = Some(Payload::from(vec![0; limits::TASK_PAYLOAD_BYTES_MAX]));
    let outcome = Outcome::Succeed { output: output.clone(), message: None };
    assert_eq!(recorded(outcome), (TaskState::Succeed, output, None));
}

#[test]
fn a_larger_output_is_a_failure_that_says_so() {
    let output = Some(Payload::from(vec![0; limits::TASK_PAYLOAD_BYTES_MAX + 1]));
    let (state, output, message) = recorded(Outcome::Succeed { output, message: None });
    assert_eq!((state, output), (TaskState::Failed, None));
    let message = message.expect("a reason");
    assert!(message.contains(&limits::TASK_PAYLOAD_BYTES_MAX.to_string()), "{message}");
}

#[test]
fn a_long_message_is_cut() {
    let message = Some("ä".repeat(limits::MESSAGE_TEXT_BYTES_MAX));
    let (state, _, message) = recorded(Outcome::Failed { output: None, message });
    let message = message.expect("a message");
    assert_eq!(state, TaskState::Failed);
    assert!(message.len() <= limits::MESSAGE_TEXT_BYTES_MAX && message.ends_with('…'), "{}", message.len());
}
