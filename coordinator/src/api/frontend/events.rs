//! The story of a task, as its events and its attempts tell it.
//!
//! The code of an event is the number of the state it speaks of. Published clients take the message of the **first**
//! event of code 3 for the error of a failed task: so there is exactly one, and it is never empty.

use flame_machine::row::AttemptRow;
use flame_proto::v1;
use flame_types::{RetryCause, TaskState, WallMs};

use crate::api::read::TaskSnapshot;

/// The events of a task, the oldest first.
pub fn story(task: &TaskSnapshot) -> Vec<v1::Event> {
    let mut events = vec![event(TaskState::Pending, "Task was created with state <Pending>".into(), task.created)];
    for (position, attempt) in task.attempts.iter().enumerate() {
        let running = format!("Running task on host <{}>.", attempt.node);
        events.push(event(TaskState::Running, running, attempt.started));
        let last = position + 1 == task.attempts.len();
        // A lost start is followed by another or by waiting for one; the last loss of a failed task is its failure.
        if let Some(loss) = &attempt.lost
            && !(last && task.state == TaskState::Failed)
        {
            events.push(event(TaskState::Pending, format!("Task went back to <Pending>: {}", loss.why), loss.at));
        }
    }
    if let Some(finished) = task.finished {
        events.push(event(task.state, ending(task), finished));
    }
    events
}

/// The starts of a task that are remembered, the oldest first. One that ended the task ended with it.
pub fn attempts(task: &TaskSnapshot) -> Vec<v1::Attempt> {
    let shown = |attempt: &AttemptRow| {
        let ended_it = task.finished.filter(|_| attempt.lost.is_none());
        let failure = ended_it.filter(|_| task.state == TaskState::Failed).map(|_| ending(task));
        let loss = attempt.lost.as_ref();
        v1::Attempt {
            number: attempt.attempt,
            node: attempt.node.to_string(),
            started: attempt.started.0,
            ended: loss.map(|loss| loss.at).or(ended_it).map(|at| at.0),
            cause: loss.map(|loss| loss.cause).or(failure.as_ref().map(|_| RetryCause::Failed)).map(name),
            message: loss.map(|loss| loss.why.clone()).or(failure),
        }
    };
    task.attempts.iter().map(shown).collect()
}

fn name(cause: RetryCause) -> String {
    cause.name().to_owned()
}

fn ending(task: &TaskSnapshot) -> String {
    let message = task.message.as_deref().filter(|message| !message.is_empty());
    match (task.state, message) {
        (TaskState::Succeed, _) => match task.attempts.last() {
            Some(attempt) => format!("Task completed successfully on host <{}>.", attempt.node),
            None => "Task completed successfully.".into(),
        },
        (TaskState::Cancelled, None) => "Task was cancelled by its user or with its session.".into(),
        (TaskState::Cancelled, Some(why)) => format!("Task was cancelled: {why}"),
        (_, Some(why)) => why.to_owned(),
        (state, None) => format!("Task failed with state <{state}>"),
    }
}

/// The one event of a task that does not exist: the shape in which a stream that serves others too can say so.
pub fn unknown(message: String, now: WallMs) -> Vec<v1::Event> {
    vec![event(TaskState::Failed, message, now)]
}

fn event(state: TaskState, message: String, at: WallMs) -> v1::Event {
    v1::Event { code: state.number(), message: Some(message), creation_time: at.0 }
}

#[cfg(test)]
mod tests {
    use flame_machine::row::AttemptLoss;
    use flame_types::{NodeName, TaskNo};

    use super::*;

    fn attempt(number: u32, node: &str, lost: Option<&str>) -> AttemptRow {
        let started = WallMs(1000 + 100 * i64::from(number));
        let cause = RetryCause::Crashed;
        let lost = lost.map(|why| AttemptLoss { at: WallMs(started.0 + 50), why: why.to_owned(), cause });
        AttemptRow { attempt: number, started, node: NodeName::parse(node).unwrap(), lost }
    }

    fn task(state: TaskState, attempts: Vec<AttemptRow>, message: Option<&str>) -> TaskSnapshot {
        TaskSnapshot {
            number: TaskNo(1),
            state,
            created: WallMs(1000),
            finished: state.is_terminal().then_some(WallMs(2000)),
            input: None,
            affinity: Vec::new(),
            output: None,
            message: message.map(str::to_owned),
            attempts,
        }
    }

    fn told(task: &TaskSnapshot) -> Vec<(i32, String, i64)> {
        story(task).into_iter().map(|event| (event.code, event.message.unwrap(), event.creation_time)).collect()
    }

    #[test]
    fn a_task_that_succeeds_tells_where() {
        let events = told(&task(TaskState::Succeed, vec![attempt(1, "w1", None)], None));
        assert_eq!(
            events,
            [
                (0, "Task was created with state <Pending>".to_owned(), 1000),
                (1, "Running task on host <w1>.".to_owned(), 1100),
                (2, "Task completed successfully on host <w1>.".to_owned(), 2000),
            ]
        );
    }

    #[test]
    fn a_failed_task_has_exactly_one_event_of_code_3_and_it_is_never_empty() {
        for (message, expected) in [
            (Some("division by zero"), "division by zero"),
            (Some(""), "Task failed with state <Failed>"),
            (None, "Task failed with state <Failed>"),
        ] {
            let events = told(&task(TaskState::Failed, vec![attempt(1, "w1", Some("crashed"))], message));
            let failures: Vec<_> = events.iter().filter(|event| event.0 == 3).collect();
            assert_eq!(failures.len(), 1);
            assert_eq!(failures[0].1, expected);
            assert_eq!(events.iter().filter(|event| event.0 == 0).count(), 1, "the failure says what was lost");
        }
    }

    #[test]
    fn a_lost_start_is_told_with_the_time_of_its_loss() {
        let attempts = vec![attempt(1, "w1", Some("worker lost")), attempt(2, "w2", None)];
        let events = told(&task(TaskState::Running, attempts, None));
        assert_eq!(events[2], (0, "Task went back to <Pending>: worker lost".to_owned(), 1150));
        assert_eq!(events[3], (1, "Running task on host <w2>.".to_owned(), 1200));
    }

    #[test]
    fn a_task_that_waits_after_a_loss_tells_why() {
        let events = told(&task(TaskState::Pending, vec![attempt(1, "w1", Some("service crashed"))], None));
        let waits = (0, "Task went back to <Pending>: service crashed".to_owned(), 1150);
        assert_eq!(events.last(), Some(&waits));
    }

    #[test]
    fn a_task_cancelled_while_it_waits_after_a_loss_tells_both() {
        let events = told(&task(TaskState::Cancelled, vec![attempt(1, "w1", Some("worker lost"))], None));
        let codes: Vec<i32> = events.iter().map(|event| event.0).collect();
        assert_eq!(codes, [0, 1, 0, 4]);
        assert_eq!(events[2], (0, "Task went back to <Pending>: worker lost".to_owned(), 1150));
    }

    #[test]
    fn every_start_is_told_with_its_end() {
        let starts = || vec![attempt(1, "w1", Some("exit status 1")), attempt(2, "w2", None)];
        let first = v1::Attempt {
            number: 1,
            node: "w1".into(),
            started: 1100,
            ended: Some(1150),
            cause: Some("crashed".into()),
            message: Some("exit status 1".into()),
        };
        let second = v1::Attempt { number: 2, node: "w2".into(), started: 1200, ..Default::default() };
        assert_eq!(attempts(&task(TaskState::Running, starts(), None)), [first.clone(), second.clone()]);
        let ended = v1::Attempt { ended: Some(2000), ..second };
        assert_eq!(attempts(&task(TaskState::Succeed, starts(), None)), [first.clone(), ended.clone()]);
        let (cause, message) = (Some("failed".into()), Some("no licence".into()));
        let failed = v1::Attempt { cause, message, ..ended.clone() };
        assert_eq!(attempts(&task(TaskState::Failed, starts(), Some("no licence"))), [first.clone(), failed]);
        assert_eq!(attempts(&task(TaskState::Cancelled, starts(), None)), [first, ended]);
    }

    #[test]
    fn a_cancelled_task_says_so_under_its_own_code() {
        let events = told(&task(TaskState::Cancelled, Vec::new(), None));
        assert_eq!(events[1].0, 4);
        assert!(events[1].1.starts_with("Task was cancelled"));
    }
}
