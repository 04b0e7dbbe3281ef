//! A change with a request id is done once, whatever becomes of its attempts: they may arrive late, twice, in another
//! order, between other changes and restarts, and long after the memory of them is gone.

use std::collections::{BTreeSet, VecDeque};

use flame_machine::command::{Inputs, Submit};
use flame_machine::{Applied, ClusterConfig, Command, Refusal, Reply, digest, invariants};
use flame_types::{AppName, AppSpec, RequestId, RequestNo, SessionId, SessionKey, SessionSpec, TaskNo, TaskOptions};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::{config, run, steps};
use crate::world::World;

/// Answers that are remembered: few, so that most are forgotten again.
const REMEMBERED: usize = 4;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client means to send a change, and looks at the next number.
    Begin(u8),
    /// An attempt of some change that was begun arrives.
    Arrive(prop::sample::Index),
    /// A node is built again from its rows.
    Restart,
    /// A cluster goes on from what it has.
    NewGeneration(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Begin),
        12 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        2 => Just(Step::Restart),
        1 => any::<u8>().prop_map(Step::NewGeneration),
    ]
}

/// A change, begun.
struct Change {
    command: Command,
    request: RequestId,
    seen: RequestNo,
}

impl Change {
    fn attempt(&self) -> Command {
        Command::Once { request: self.request, seen: self.seen, command: Box::new(self.command.clone()) }
    }
}

fn id(which: u8) -> SessionId {
    SessionId::parse(&format!("s{}", which % 3)).unwrap()
}

/// Changes of which most do something else the second time.
fn command(kind: u8) -> Command {
    let app = || AppName::parse("a").unwrap();
    let which = kind / 8;
    match kind % 8 {
        0..=2 => Command::Submit(Box::new(Submit {
            session: id(which),
            inputs: Inputs::Each(vec![None]),
            options: TaskOptions::default(),
            idempotency_key: None,
        })),
        3 => Command::Suspend { id: id(which) },
        4 => Command::Resume { id: id(which) },
        5 => Command::Cancel { session: id(which), task: TaskNo(1 + u64::from(which) % 4) },
        6 => Command::Create { id: id(which), spec: Box::new(SessionSpec::new(app())) },
        _ => Command::Update { name: app(), spec: Box::new(AppSpec::default()) },
    }
}

fn world() -> World {
    let mut world = World::new();
    let config = ClusterConfig { requests_max: REMEMBERED as u32, ..ClusterConfig::default() };
    let name = AppName::parse("a").unwrap();
    let spec = || Box::new(SessionSpec::new(AppName::parse("a").unwrap()));
    world.apply(
        0,
        vec![
            Command::SetConfig(Box::new(config)),
            Command::Register { name, spec: Box::default() },
            Command::Create { id: id(0), spec: spec() },
            Command::Create { id: id(1), spec: spec() },
        ],
    );
    world
}

fn alone(world: &mut World, command: Command) -> (Applied, Reply) {
    let applied = world.apply(0, vec![command]);
    let reply = applied.replies[0].2.clone();
    (applied, reply)
}

/// What the memory should be.
#[derive(Default)]
struct Model {
    remembered: VecDeque<(usize, Reply)>,
    done: BTreeSet<usize>,
}

impl Model {
    fn check(&mut self, world: &mut World, changes: &[Change], which: usize) -> Result<(), TestCaseError> {
        let (change, before) = (&changes[which], digest::digest(&world.state));
        let next = world.state.next_request();
        let (applied, reply) = alone(world, change.attempt());
        if let Some((_, known)) = self.remembered.iter().find(|(known, _)| *known == which) {
            prop_assert_eq!(&reply, known, "it is answered as before");
        } else if reply == Reply::Refused(Refusal::RequestForgotten { next }) {
            let lost = self.done.len() > REMEMBERED || world.state.generation().0 > 0;
            prop_assert!(lost && change.seen < next, "nothing is forgotten yet");
        } else {
            prop_assert!(self.done.insert(which), "it is done for the second time: {:?}", &change.command);
            prop_assert_eq!(world.state.next_request(), next.next());
            self.remembered.push_back((which, reply));
            while self.remembered.len() > REMEMBERED {
                self.remembered.pop_front();
            }
            return Ok(());
        }
        prop_assert_eq!(digest::digest(&world.state), before, "nothing is done");
        prop_assert!(applied.rows.is_empty() && applied.events.is_empty() && applied.effects.is_empty());
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_change_is_done_once_however_its_attempts_arrive(steps in vec(step(), 1..120)) {
        let (mut world, mut changes, mut model) = (world(), Vec::new(), Model::default());
        for step in steps {
            match step {
                Step::Begin(kind) => {
                    let request = RequestId((changes.len() as u128).to_be_bytes());
                    changes.push(Change { command: command(kind), request, seen: world.state.next_request() });
                }
                Step::Arrive(which) if !changes.is_empty() => {
                    model.check(&mut world, &changes, which.index(changes.len()))?;
                }
                Step::Arrive(_) => {}
                Step::Restart => world.restart(),
                Step::NewGeneration(nonce) => {
                    alone(&mut world, Command::NewGeneration { nonce: u128::from(nonce) });
                }
            }
            let remembered: Vec<Reply> = world.state.requests().iter().map(|(_, row)| row.reply.clone()).collect();
            let expected: Vec<Reply> = model.remembered.iter().map(|(_, reply)| reply.clone()).collect();
            prop_assert_eq!(remembered, expected);
            world.check().map_err(TestCaseError::fail)?;
        }
        // Every change that is answered anew is a first attempt: those whose number is still remembered go through.
        for which in 0..changes.len() {
            model.check(&mut world, &changes, which)?;
        }
    }

    /// As long as nothing has been forgotten since a change was begun, it is never turned away for its age.
    #[test]
    fn a_change_that_was_begun_lately_is_done(kinds in vec(any::<u8>(), 1..40)) {
        let mut world = world();
        for (at, kind) in kinds.into_iter().enumerate() {
            let request = RequestId((at as u128).to_be_bytes());
            let change = Change { command: command(kind), request, seen: world.state.next_request() };
            // Others come between, as many as are remembered beside it.
            for other in 0..REMEMBERED - 1 {
                let request = RequestId(((1_000 + at * REMEMBERED + other) as u128).to_be_bytes());
                let command = Box::new(command(0));
                let seen = world.state.next_request();
                alone(&mut world, Command::Once { request, seen, command });
            }
            let next = world.state.next_request();
            let (_, reply) = alone(&mut world, change.attempt());
            prop_assert!(!matches!(reply, Reply::Refused(Refusal::RequestForgotten { .. })), "{:?}", reply);
            prop_assert_eq!(world.state.next_request(), next.next());
            prop_assert_eq!(alone(&mut world, change.attempt()).1, reply);
        }
        let tasks = world.state.sessions().get(&SessionKey(1)).map_or(0, |session| session.row.next_task.0 - 1);
        prop_assert!(tasks > 0);
    }

    #[test]
    fn what_is_remembered_is_found_and_bounded(steps in steps()) {
        run(&steps, &mut |world, batch| {
            let before = world.state.requests().len();
            // A limit that is lowered is reached bit by bit.
            let is_steady = !batch.items.iter().any(|item| matches!(item.command, Command::SetConfig(_)));
            world.apply_batch(batch);
            invariants::requests(&world.state).map_err(TestCaseError::fail)?;
            let limit = world.state.cluster().config.requests_max as usize;
            let now = world.state.requests().len();
            prop_assert!(!is_steady || now <= limit.max(before), "{} are remembered of at most {}", now, limit);
            Ok(())
        })?;
    }
}

#[test]
fn only_what_users_ask_for_carries_a_request_id() {
    let mut world = world();
    let once = |command| Command::Once { request: RequestId([7; 16]), seen: RequestNo(1), command: Box::new(command) };
    for other in [Command::Tick, Command::NewGeneration { nonce: 1 }, once(Command::Suspend { id: id(0) })] {
        let (applied, reply) = alone(&mut world, once(other));
        assert!(matches!(reply, Reply::Refused(Refusal::InvalidSpec(_))) && applied.rows.is_empty(), "{reply:?}");
    }
    assert_eq!(world.state.requests().len(), 0);
}
