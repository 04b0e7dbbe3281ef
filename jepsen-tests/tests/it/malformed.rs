//! Recordings that contradict themselves: whoever wrote them is wrong, and nothing is said of the cluster.

use flame_jepsen::record::{
    Answer, ClientStep, ErrorClass, FaultEvent, FaultStep, News, Operation, Outcome, Phase, Process, What, WorkerStep,
};
use flame_jepsen::{Recording, judge};
use flame_types::Token;

use crate::story::{S, Story, error, get, submit, submitted, succeed};

#[track_caller]
fn refused(recording: &Recording, why: &str) {
    let malformed = judge(recording).expect_err("it contradicts itself");
    assert!(malformed.to_string().contains(why), "{malformed}");
}

#[test]
fn time_goes_back() {
    let mut story = Story::new();
    story.submit(1);
    story.recording.events.swap(3, 5);
    refused(&story.recording, "time goes back");
}

#[test]
fn an_answer_without_a_question() {
    let mut story = Story::new();
    story.ok(Process(77), Answer::Done);
    refused(&story.recording, "has asked nothing");
}

#[test]
fn two_questions_at_a_time() {
    let mut story = Story::new();
    let process = story.asks(get(1));
    story.client(process, ClientStep::Invoke { node: None, operation: get(1) });
    refused(&story.recording, "while it waits");
}

#[test]
fn a_client_goes_on_after_an_unknown_outcome() {
    let mut story = Story::new();
    let process = story.asks(submit(&[1], None));
    story.client(process, ClientStep::Info(error(ErrorClass::Timeout)));
    story.client(process, ClientStep::Invoke { node: None, operation: get(1) });
    refused(&story.recording, "goes on after an unknown outcome");
}

#[test]
fn an_answer_to_another_question() {
    let mut story = Story::new();
    story.does(get(1), submitted(1));
    refused(&story.recording, "a get was answered with");
}

#[test]
fn a_mark_of_two_changes() {
    for other in [None, Some("r-2")] {
        let mut story = Story::new();
        story.submit(1);
        story.does(submit(&[1], other), submitted(2));
        refused(&story.recording, "the mark of two changes");
    }
}

#[test]
fn a_session_is_made_again() {
    let mut story = Story::new();
    story.does(Operation::DeleteSession { session: S.into(), request: None }, Answer::Done);
    let again = Operation::CreateSession { session: S.into(), request: None };
    story.does(again, Answer::Session { created: true });
    refused(&story.recording, "is made again");
}

#[test]
fn a_watch_that_nobody_opened_or_of_two_sessions() {
    let mut story = Story::new();
    story.client(Process(9), ClientStep::Told { watch: 9, news: News::Over });
    refused(&story.recording, "was never opened");
    let mut story = Story::new();
    let other = Operation::Watch { session: "other".into(), watch: 1, from: 0, every: false };
    story.does(other, Answer::Done);
    refused(&story.recording, "follows two sessions");
}

#[test]
fn two_results_under_one_token() {
    let mut story = Story::new();
    story.submit(1);
    story.grant(1, "worker-1", 1, 1);
    story.report("worker-1", 1, succeed(1));
    story.worker("worker-1", WorkerStep::Reported { token: Token(1), outcome: Outcome::Failed { output: None } });
    refused(&story.recording, "two different results");
}

#[test]
fn a_fault_that_was_never_there_or_twice() {
    let mut story = Story::new();
    story.heal(3);
    refused(&story.recording, "was never installed");
    let mut story = Story::new();
    for _ in 0..2 {
        let (kind, why) = (flame_jepsen::record::FaultKind::Loss, "no rights".to_owned());
        story.tell(What::Fault(FaultEvent { fault: 3, step: FaultStep::Skipped { kind, why } }));
    }
    refused(&story.recording, "installed twice");
}

#[test]
fn a_phase_comes_twice() {
    let mut story = Story::new();
    for _ in 0..2 {
        story.tell(What::Phase(Phase::AtRest));
    }
    refused(&story.recording, "comes twice");
}
