//! Workloads: run against a cluster of a few lines that keeps its promises, so that what they ask for is well formed.

use std::collections::{BTreeMap, BTreeSet};

use flame_jepsen::generate::{Dice, Heard, Next, Order, Size, Workload};
use flame_jepsen::record::{
    Answer, ClientStep, ErrorClass, Operation, Phase, Process, Recording, SessionSeen, TaskSeen, Text, What, Witness,
};
use flame_jepsen::{Facts, Ruling, judge};
use flame_types::{SessionState, TaskNo, TaskState};

use crate::story::{Story, error};

const SIZE: Size = Size { clients: 5, nodes: 3, operations: 500 };

/// A cluster in one place: it does at once whatever is asked, and ends a task when it is read for the second time.
#[derive(Default)]
struct Toy {
    sessions: BTreeMap<Text, (SessionState, Vec<TaskSeen>)>,
    answered: BTreeMap<Text, Result<Answer, ErrorClass>>,
}

impl Toy {
    fn ask(&mut self, operation: &Operation) -> Result<Answer, ErrorClass> {
        let id = operation.request().map(|request| request.0.clone());
        if let Some(known) = id.as_ref().and_then(|id| self.answered.get(id)) {
            return known.clone();
        }
        let answer = self.does(operation);
        if let Some(id) = id {
            self.answered.insert(id, answer.clone());
        }
        answer
    }

    fn does(&mut self, operation: &Operation) -> Result<Answer, ErrorClass> {
        match operation {
            Operation::CreateSession { session, .. } => {
                self.sessions.insert(session.clone(), (SessionState::Open, Vec::new()));
                Ok(Answer::Session { created: true })
            }
            Operation::ListSessions => {
                let sessions = self.sessions.iter();
                let sessions =
                    sessions.map(|(session, (state, _))| SessionSeen { session: session.clone(), state: *state });
                Ok(Answer::Sessions { sessions: sessions.collect() })
            }
            Operation::DeleteSession { session, .. } => {
                self.sessions.remove(session).map(|_| Answer::Done).ok_or(ErrorClass::SessionNotFound)
            }
            Operation::Admin { .. } => Ok(Answer::Done),
            Operation::OpenSession { session, .. }
            | Operation::CloseSession { session, .. }
            | Operation::Submit { session, .. }
            | Operation::Cancel { session, .. }
            | Operation::Get { session, .. }
            | Operation::List { session }
            | Operation::Watch { session, .. } => {
                let (state, tasks) = self.sessions.get_mut(session).ok_or(ErrorClass::SessionNotFound)?;
                in_session(operation, state, tasks)
            }
        }
    }
}

fn in_session(
    operation: &Operation,
    session: &mut SessionState,
    tasks: &mut Vec<TaskSeen>,
) -> Result<Answer, ErrorClass> {
    let is_open = *session == SessionState::Open;
    match operation {
        Operation::OpenSession { .. } if is_open => Ok(Answer::Session { created: false }),
        Operation::OpenSession { .. } => Err(ErrorClass::SessionNotOpen),
        Operation::CloseSession { .. } => {
            *session = SessionState::Closed;
            let live = tasks.iter_mut().filter(|task| !task.state.is_terminal());
            live.for_each(|task| task.state = TaskState::Cancelled);
            Ok(Answer::Done)
        }
        Operation::Submit { .. } if !is_open => Err(ErrorClass::SessionNotOpen),
        Operation::Submit { nonces, .. } => {
            let first = TaskNo(tasks.len() as u64 + 1);
            for nonce in nonces {
                let (task, nonce) = (TaskNo(tasks.len() as u64 + 1), Some(nonce.clone()));
                let state = TaskState::Pending;
                tasks.push(TaskSeen { task, nonce, state, attempt: None, output: None, completions: None });
            }
            Ok(Answer::Submitted { first })
        }
        Operation::Cancel { task, .. } => {
            let task = tasks.get_mut(task.0 as usize - 1).ok_or(ErrorClass::TaskNotFound)?;
            if task.state.is_terminal() {
                return Err(ErrorClass::TaskEnded);
            }
            task.state = TaskState::Cancelled;
            Ok(Answer::Done)
        }
        Operation::Get { task, .. } => {
            let task = tasks.get_mut(task.0 as usize - 1).ok_or(ErrorClass::TaskNotFound)?;
            let shown = task.clone();
            if task.state == TaskState::Pending {
                task.state = TaskState::Succeed;
            }
            Ok(Answer::Task(shown))
        }
        Operation::List { .. } => Ok(Answer::Tasks { tasks: tasks.clone(), trimmed: 0 }),
        _ => Ok(Answer::Done),
    }
}

/// A run of a workload: everything that was ordered, and the recording.
struct Run {
    orders: Vec<Order>,
    recording: Recording,
}

/// Which client does something next is drawn as well; every twentieth answer is lost.
fn run(workload: Workload, seed: u64) -> Run {
    let mut story = Story::new();
    story.recording.events.clear();
    story.recording.header.witnesses = [Witness::Clients].into();
    let (mut toy, mut dice) = (Toy::default(), Dice::new(seed ^ 0xABCD));
    let mut generator = workload.generator("run", seed, SIZE);
    let mut processes: Vec<Process> = (0..SIZE.clients).map(Process).collect();
    let mut orders = Vec::new();
    let mut idle = 0;
    while idle < 1_000 {
        let client = dice.below(u64::from(SIZE.clients)) as usize;
        let process = processes[client];
        match generator.next(process) {
            Next::Done => break,
            Next::Wait(_) => idle += 1,
            Next::Do(order) => {
                let operation = order.operation.clone();
                story.client(process, ClientStep::Invoke { node: None, operation });
                match toy.ask(&order.operation) {
                    _ if dice.percent(5) => {
                        story.lost(process);
                        generator.heard(&order.operation, Heard::Info);
                        processes[client] = generator.reborn(process);
                    }
                    Ok(answer) => {
                        generator.heard(&order.operation, Heard::Ok(&answer));
                        story.ok(process, answer);
                    }
                    Err(class) => {
                        generator.heard(&order.operation, Heard::Fail(&error(class)));
                        story.fails(process, class);
                    }
                }
                orders.push(*order);
            }
        }
    }
    assert_eq!(orders.len() as u64, SIZE.operations, "{workload:?} ran dry");
    finish(&mut story, &mut toy, &generator.last_reads());
    assert!(!generator.farewell().is_empty(), "{workload:?} leaves no session to close");
    Run { orders, recording: story.recording }
}

fn finish(story: &mut Story, toy: &mut Toy, reads: &[Order]) {
    story.tell(What::Phase(Phase::HealBegan));
    for (_, tasks) in toy.sessions.values_mut() {
        let live = tasks.iter_mut().filter(|task| !task.state.is_terminal());
        live.for_each(|task| task.state = TaskState::Succeed);
    }
    story.tell(What::Phase(Phase::AtRest));
    let mut process = 1_000_000;
    for order in reads {
        process += 1;
        let operation = order.operation.clone();
        story.client(Process(process), ClientStep::Invoke { node: None, operation });
        match toy.ask(&order.operation) {
            Ok(answer) => story.ok(Process(process), answer),
            Err(class) => story.fails(Process(process), class),
        };
    }
}

#[test]
fn a_cluster_that_keeps_its_promises_passes_every_workload() {
    for workload in Workload::ALL {
        for seed in 0..2 {
            let run = run(workload, seed);
            let report = judge(&run.recording).unwrap_or_else(|error| panic!("{workload:?} {seed}: {error}"));
            assert_eq!(report.ruling, Ruling::Valid, "{workload:?} {seed}: {report}");
        }
    }
}

#[test]
fn a_seed_is_a_workload() {
    for workload in Workload::ALL {
        let (first, again, other) = (run(workload, 1), run(workload, 1), run(workload, 2));
        assert_eq!(first.orders, again.orders, "{workload:?}");
        assert_ne!(first.orders, other.orders, "{workload:?}");
    }
}

#[test]
fn the_dice_fall_the_same_for_ever() {
    let mut dice = Dice::new(1);
    let thrown: Vec<u64> = (0..3).map(|_| dice.throw()).collect();
    assert_eq!(thrown, [10_451_216_379_200_822_465, 13_757_245_211_066_428_519, 17_911_839_290_282_890_590]);
    let mut counts = [0_u64; 6];
    (0..60_000).for_each(|_| counts[dice.below(6) as usize] += 1);
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

fn share(orders: &[Order], name: &str) -> f64 {
    orders.iter().filter(|order| order.operation.name() == name).count() as f64 / orders.len() as f64
}

#[test]
fn each_workload_asks_for_what_it_is_made_for() {
    let of = |workload| run(workload, 3).orders;
    assert!(share(&of(Workload::W1), "submit") > 0.99);
    let contention = of(Workload::W2);
    assert!(share(&contention, "get") > 0.4 && share(&contention, "cancel") > 0.1 && share(&contention, "list") > 0.01);
    let sessions = of(Workload::W3);
    for name in ["create-session", "open-session", "close-session", "delete-session", "watch", "list", "submit"] {
        assert!(share(&sessions, name) > 0.03, "{name}: {}", share(&sessions, name));
    }
    let duplicates = of(Workload::W4);
    let ids: BTreeSet<_> = duplicates.iter().filter_map(|order| order.operation.request()).collect();
    assert!(ids.len() * 2 < duplicates.len(), "{} ids of {} changes", ids.len(), duplicates.len());
    let shapes: BTreeSet<_> =
        of(Workload::W5).iter().filter_map(|order| order.shape.map(|shape| shape.slots)).collect();
    assert_eq!(shapes.len(), 4);
    let slow = of(Workload::W6);
    let watches: Vec<_> = slow.iter().filter(|order| order.operation.name() == "watch").collect();
    assert_eq!(watches.len(), SIZE.clients as usize);
    let long = of(Workload::W7);
    let shortest = long.iter().flat_map(|order| &order.works).map(|work| work.takes).min();
    assert!(shortest.is_some_and(|takes| takes.0 >= 60_000_000_000));
    assert!(Workload::W8.setting().workers == 1_000);
    let names: BTreeSet<_> = of(Workload::W8).iter().map(|order| order.operation.name()).collect();
    assert!(names.len() >= 9, "{names:?}");
    assert!(share(&of(Workload::W9), "admin") > 0.01);
}

#[test]
fn marks_of_works_are_those_of_the_submit() {
    for workload in Workload::ALL {
        let run = run(workload, 4);
        for order in &run.orders {
            if let Operation::Submit { nonces, .. } = &order.operation {
                let works: Vec<_> = order.works.iter().map(|work| work.nonce.clone()).collect();
                assert_eq!(nonces, &works);
            }
        }
        let facts = Facts::new(&run.recording).expect("it does not contradict itself");
        assert!(facts.tasks.iter().all(|task| !task.submits.is_empty()), "{workload:?}");
    }
}
