//! Large recordings: time and memory grow with the number of events, not faster.
//!
//! `FLAME_JEPSEN_EVENTS=1000000 cargo nextest run --release -p flame-jepsen size` judges a million; by default fewer are
//! made, which a build without optimisation judges in seconds as well.

use flame_jepsen::record::Recording;
use flame_jepsen::{CheckerId, judge};
use flame_types::TaskState;

use crate::story::{Story, seen, submit, submitted};

const EVENTS: usize = 60_000;

fn events() -> usize {
    match std::env::var("FLAME_JEPSEN_EVENTS") {
        Ok(text) => text.parse().expect("FLAME_JEPSEN_EVENTS is a number"),
        Err(_) => EVENTS,
    }
}

/// Tasks that run on two workers, each read three times, listed now and then.
fn large(events: usize) -> Recording {
    let mut story = Story::new();
    let mut number = 0;
    while story.recording.events.len() < events {
        number += 1;
        let lost = number % 50 == 0;
        if lost {
            let process = story.asks(submit(&[number], Some(&format!("r-{number}"))));
            story.lost(process);
        }
        story.does(submit(&[number], Some(&format!("r-{number}"))), submitted(number));
        story.reads(seen(number, TaskState::Pending));
        story.run(number, if number % 2 == 0 { "worker-2" } else { "worker-1" }, number);
        story.reads(seen(number, TaskState::Succeed));
        story.digests();
        if number % 2_000 == 0 {
            let tasks = story.tasks.values().cloned().collect();
            story.lists(1 + number % 3, tasks);
        }
    }
    story.end()
}

#[test]
fn a_large_recording_is_read_and_judged() {
    let events = events();
    let recording = large(events);
    let mut file = Vec::new();
    recording.write(&mut file).expect("memory takes it");
    let read = Recording::read(file.as_slice()).expect("it was written");
    assert!(read.events.len() >= events);
    let report = judge(&read).expect("it does not contradict itself");
    assert!(report.ruling.passes(), "{report}");
    // The search is the only part that could take longer than a pass: it took about a step for each operation.
    let figures = &report.of(CheckerId::C4).found.figures;
    assert!(figures["tasks_searched"] > events as u64 / 30, "{figures:?}");
}
