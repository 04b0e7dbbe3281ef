//! Feature levels: what a build understands, and what a cluster runs at.

use flame_machine::command::{Batch, Command, Item};
use flame_machine::{Ctx, FEATURE_LEVEL, Levels, Refusal, Reply, State};
use flame_types::{ClientId, LogIndex, Seq, Term};

fn levels(lowest: u32, highest: u32) -> Levels {
    Levels::said(lowest, highest)
}

fn alone(state: &mut State, index: u64, command: Command) -> Reply {
    let item = Item { client: ClientId::NONE, seq: Seq(0), below: Seq(0), command };
    let ctx = Ctx { index: LogIndex(index), term: Term(1) };
    let applied = state.apply(ctx, Batch { items: vec![item], ..Batch::default() });
    applied.replies.into_iter().next().expect("one command, one reply").2
}

#[test]
fn a_build_understands_its_range_and_a_cluster_without_a_level_runs_at_the_first() {
    assert!(levels(1, 2).understand(0), "no level is agreed on yet");
    assert!(levels(1, 2).understand(1) && levels(1, 2).understand(2));
    assert!(!levels(1, 2).understand(3));
    assert!(!levels(2, 3).understand(0), "a build that has forgotten the first level");
    assert!(Levels::OWN.understand(FEATURE_LEVEL) && !Levels::OWN.understand(FEATURE_LEVEL + 1));
}

#[test]
fn a_build_that_says_nothing_is_of_the_first_level() {
    assert_eq!(levels(0, 0), levels(1, 1));
    assert_eq!(levels(0, 3), levels(1, 3));
    assert_eq!(levels(9, 3), levels(3, 3), "nonsense is no wider than it must be");
    assert_eq!((levels(1, 1).to_string(), levels(1, 2).to_string()), ("level 1".into(), "levels 1 to 2".into()));
}

#[test]
fn a_cluster_rises_step_by_step_and_never_falls() {
    let mut state = State::new();
    assert_eq!((state.level(), state.cluster().level), (1, 0));
    for (index, level) in (1..).zip(1..=FEATURE_LEVEL) {
        assert_eq!(alone(&mut state, index, Command::SetFeatureLevel { level }), Reply::Done);
        assert_eq!((state.level(), state.cluster().level), (level, level));
    }
    for level in 0..=FEATURE_LEVEL {
        let reply = alone(&mut state, 9, Command::SetFeatureLevel { level });
        assert!(matches!(reply, Reply::Refused(Refusal::FeatureLevel(_))), "{level}: {reply:?}");
    }
    assert_eq!(state.level(), FEATURE_LEVEL);
}

#[test]
#[should_panic(expected = "this build understands")]
fn a_level_that_is_not_understood_stops_the_replica() {
    alone(&mut State::new(), 1, Command::SetFeatureLevel { level: FEATURE_LEVEL + 1 });
}

/// Run with the feature: `cargo nextest run -p flame-machine --features next-level levels`.
#[cfg(feature = "next-level")]
#[test]
fn what_a_level_brings_is_refused_below_it() {
    let mut state = State::new();
    let told = || Command::TestOnly { text: "x".into() };
    assert_eq!((told().level(), Command::Void.level()), (2, 1));
    let before = flame_machine::digest::digest(&state);
    let reply = alone(&mut state, 1, told());
    assert!(matches!(reply, Reply::Refused(Refusal::FeatureLevel(_))), "{reply:?}");
    assert_eq!(flame_machine::digest::digest(&state), before);
    assert_eq!(alone(&mut state, 2, Command::SetFeatureLevel { level: 2 }), Reply::Done);
    assert_eq!(alone(&mut state, 3, told()), Reply::Done);
}
