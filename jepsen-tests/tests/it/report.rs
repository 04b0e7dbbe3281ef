//! What the checkers come to together: nothing passes by default.

use flame_jepsen::checkers::ALL;
use flame_jepsen::checkers::c09_availability::silences;
use flame_jepsen::checkers::c15_coverage::Coverage;
use flame_jepsen::record::{
    ErrorClass, FaultEvent, FaultKind, FaultStep, Nanos, Phase, Recording, Target, What, Witness,
};
use flame_jepsen::{CheckerId, Facts, Report, Ruling, judge};
use flame_types::{CoordinatorId, TaskState};

use crate::story::{Story, accepted, seen, submit};

fn one_done() -> Story {
    let mut story = Story::new();
    story.submit(1);
    story.run(1, "worker-1", 1);
    story
}

#[track_caller]
fn ruled(recording: &Recording, ruling: Ruling) -> Report {
    let report = judge(recording).expect("it does not contradict itself");
    assert_eq!(report.ruling, ruling, "{report}");
    assert_eq!(report.ruling.passes(), ruling == Ruling::Valid);
    report
}

#[test]
fn every_checker_names_its_promise_and_its_source() {
    let ids: Vec<String> = ALL.iter().map(|checker| checker.id.to_string()).collect();
    let expected: Vec<String> = (1..=15).map(|number| format!("C{number}")).collect();
    assert_eq!(ids, expected);
    assert!(ALL.iter().all(|checker| checker.promise.len() > 10 && checker.source.len() > 10));
}

#[test]
fn an_empty_recording_proves_nothing() {
    let mut recording = one_done().end();
    recording.events.clear();
    ruled(&recording, Ruling::Unknown);
    recording.header.witnesses.clear();
    let report = ruled(&recording, Ruling::Inconclusive);
    assert!(report.of(CheckerId::C15).found.missing[0].text.contains("0 operations"));
}

#[test]
fn what_was_meant_to_happen_and_did_not_is_inconclusive() {
    type Want = fn(&mut flame_jepsen::record::Wants);
    let wants: [(&str, Want); 6] = [
        ("leader_changes", |wants| wants.leader_changes = 1),
        ("lease_expiries", |wants| wants.lease_expiries = 1),
        ("retries", |wants| wants.retries = 1),
        ("unknown_outcomes", |wants| wants.unknown_outcomes = 1),
        ("snapshots", |wants| wants.snapshots = 1),
        ("Kill", |wants| wants.faults.extend([FaultKind::Kill])),
    ];
    for (name, want) in wants {
        let mut story = one_done();
        want(&mut story.plan().wants);
        let report = ruled(&story.end(), Ruling::Inconclusive);
        let missing = &report.of(CheckerId::C15).found.missing;
        assert!(missing.len() == 1 && missing[0].text.contains(name), "{missing:?}");
    }
}

#[test]
fn what_was_meant_to_happen_and_did_is_enough() {
    let mut story = Story::new();
    let wants = &mut story.plan().wants;
    (wants.leader_changes, wants.retries, wants.unknown_outcomes) = (1, 1, 1);
    wants.faults.insert(FaultKind::Kill);
    let process = story.asks(submit(&[1], Some("r-1")));
    story.lost(process);
    story.submit(1);
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    story.new_leader(2);
    story.heal(1);
    story.run(1, "worker-1", 1);
    let recording = story.end();
    accepted(&recording);
    let coverage = Coverage::of(&Facts::new(&recording).expect("it does not contradict itself"));
    assert_eq!((coverage.leader_changes, coverage.retries, coverage.unknown_outcomes), (1, 1, 1));
    assert_eq!(coverage.faults.get(&FaultKind::Kill), Some(&1));
}

#[test]
fn a_fault_that_was_skipped_was_not_survived() {
    let mut story = one_done();
    story.plan().wants.faults.insert(FaultKind::DiskFull);
    let step = FaultStep::Skipped { kind: FaultKind::DiskFull, why: "no loop devices".to_owned() };
    story.tell(What::Fault(FaultEvent { fault: 1, step }));
    let report = ruled(&story.end(), Ruling::Inconclusive);
    assert!(report.of(CheckerId::C15).found.missing[0].text.contains("no loop devices"));
}

#[test]
fn a_checker_that_heard_nobody_does_not_judge() {
    let mut recording = one_done().end();
    recording.header.witnesses.remove(&Witness::Digests);
    let report = ruled(&recording, Ruling::Valid);
    assert_eq!(report.of(CheckerId::C5).ruling, Ruling::Inconclusive);
    assert!(report.to_string().contains("nobody listened to [Digests]"));
    // The plan asks for its word, and there is none.
    recording.header.plan.checkers = [CheckerId::C1, CheckerId::C5].into();
    let report = ruled(&recording, Ruling::Inconclusive);
    assert_eq!(report.absent, [CheckerId::C5]);
}

#[test]
fn what_nobody_asked_for_counts_only_when_it_is_wrong() {
    let mut story = one_done();
    story.plan().checkers = [CheckerId::C1].into();
    story.digests();
    let mut recording = story.end();
    // Without this phase C8 does not know, and nobody asked it.
    recording.events.retain(|event| event.what != What::Phase(Phase::HealBegan));
    let report = ruled(&recording, Ruling::Valid);
    assert_eq!(report.of(CheckerId::C8).ruling, Ruling::Unknown);
    recording.header.plan.checkers.clear();
    ruled(&recording, Ruling::Unknown);
    let mut story = one_done();
    story.plan().checkers = [CheckerId::C1].into();
    story.reads(seen(1, TaskState::Pending));
    ruled(&story.end(), Ruling::Invalid);
}

#[test]
fn nobody_asked_in_the_end_is_not_known() {
    let mut story = one_done();
    story.tell(What::Phase(Phase::HealBegan));
    story.tell(What::Phase(Phase::AtRest));
    story.reads(seen(1, TaskState::Succeed));
    story.digests();
    story.samples(0);
    let report = ruled(&story.recording, Ruling::Unknown);
    assert!(report.of(CheckerId::C1).found.unclear[0].text.contains("nobody listed session s"));
}

#[test]
fn silences_are_measured_with_the_faults_that_were_there() {
    let mut story = one_done();
    story.fault(1, FaultKind::Kill, &[Target::Node(CoordinatorId(1))]);
    for number in 10..14 {
        let process = story.asks(submit(&[number], None));
        story.wait(500);
        story.lost(process);
    }
    story.heal(1);
    story.submit(2);
    // Nobody asks for a long time: that is no silence.
    story.wait(60_000);
    story.submit(3);
    let recording = story.recording;
    let facts = Facts::new(&recording).expect("it does not contradict itself");
    let silences = silences(&facts, Nanos::from_millis(100));
    assert_eq!(silences.len(), 1, "{silences:#?}");
    let lasted = silences[0].lasted();
    assert!(Nanos::from_millis(2_000) < lasted && lasted < Nanos::from_millis(2_100), "{lasted}");
    assert_eq!(silences[0].during, [FaultKind::Kill]);
}

#[test]
fn a_report_says_what_is_wrong_and_where() {
    let mut story = one_done();
    for number in 2..40 {
        story.refused(submit(&[number], Some(&format!("r-{number}"))), ErrorClass::Timeout);
    }
    let report = ruled(&story.end(), Ruling::Invalid);
    let text = report.to_string();
    assert!(text.contains("C13  invalid       an error says what is true refusals=38"), "{text}");
    assert!(text.contains("was called a failure: it may have been done (event "), "{text}");
    assert!(text.contains("broken: 28 more"), "{text}");
    assert!(text.ends_with("invalid"), "{text}");
    assert_eq!(report.broken().count(), 38);
}
