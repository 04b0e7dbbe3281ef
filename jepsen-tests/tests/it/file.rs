//! Recordings as files.

use flame_jepsen::record::file::{FileError, Reader, VERSION, Writer};
use flame_jepsen::record::merge::merge;
use flame_jepsen::record::{Event, Nanos, Phase, What};
use flame_jepsen::{Recording, judge};

use crate::story::{Story, accepted};

/// Every kind of event there is, as version 1 writes it. Never edited: a later version adds a file of its own.
const EVERYTHING: &str = include_str!("../fixtures/v001_everything.jsonl");

#[test]
fn version_1_is_read_for_ever_and_written_alike() {
    let recording = Recording::read(EVERYTHING.as_bytes()).expect("it is of version 1");
    assert_eq!(recording.events.len() + 1, EVERYTHING.lines().count());
    let mut again = Vec::new();
    recording.write(&mut again).expect("memory takes it");
    assert_eq!(String::from_utf8(again).expect("it is text"), EVERYTHING);
}

#[test]
fn the_fixture_has_every_kind_of_event() {
    // The names that stand in the format: whoever adds one adds a fixture with it.
    let names = [
        "invoke",
        "again",
        "ok",
        "fail",
        "info",
        "told",
        "create_session",
        "open_session",
        "close_session",
        "delete_session",
        "submit",
        "cancel",
        "get",
        "list",
        "list_sessions",
        "watch",
        "admin",
        "add_node",
        "remove_node",
        "transfer_lead",
        "cordon",
        "drain",
        "done",
        "created",
        "submitted",
        "no_task",
        "tasks",
        "sessions",
        "skipped",
        "resumed",
        "over",
        "attached",
        "lease_lost",
        "granted",
        "handed",
        "started",
        "finished",
        "returned",
        "reported",
        "succeed",
        "failed",
        "stored",
        "refused",
        "stopped",
        "executor_lost",
        "opened",
        "exited",
        "log",
        "voted",
        "leads",
        "follows",
        "durable",
        "disk_failed",
        "snapshot_installed",
        "members",
        "applied",
        "assigned",
        "released",
        "recorded",
        "evicted",
        "usage",
        "gauge",
        "installed",
        "healed",
        "heal_began",
        "at_rest",
        "drained",
    ];
    for name in names {
        assert!(EVERYTHING.contains(&format!("\"{name}\"")), "no event of the fixture says {name}");
    }
}

fn small() -> Vec<u8> {
    let mut file = Vec::new();
    Story::new().end().write(&mut file).expect("memory takes it");
    file
}

#[test]
fn events_are_read_one_by_one() {
    let file = small();
    let mut reader = Reader::new(file.as_slice()).expect("it is a recording");
    assert_eq!(&*reader.header().run, "story");
    let first = reader.next().expect("it has events").expect("they can be read");
    let rest: Vec<Event> = reader.map(|event| event.expect("they can be read")).collect();
    let all: Vec<Event> = std::iter::once(first).chain(rest).collect();
    assert_eq!(all, Story::new().end().events);
}

#[test]
fn what_was_written_before_the_writer_died_can_be_read() {
    let file = small();
    let cut = &file[..file.len() - 10];
    let mut reader = Reader::new(cut).expect("it is a recording");
    let last = reader.by_ref().last().expect("it has events").expect_err("it breaks off");
    assert!(matches!(last, FileError::BreaksOff { .. }), "{last}");
    assert!(reader.next().is_none(), "after an error there is nothing more");
    let lines = file.iter().filter(|byte| **byte == b'\n').count();
    let read = Reader::new(cut).expect("it is a recording").filter(Result::is_ok).count();
    assert_eq!(read, lines - 2, "all but the first line and the last one");
}

#[test]
fn bad_files_are_refused_with_what_is_wrong() {
    let refused = |text: &str| Recording::read(text.as_bytes()).expect_err("it is bad").to_string();
    assert!(refused("").contains("it is empty"));
    assert!(refused("{\"index\":1}\n").contains("no recording"));
    assert!(refused("PK\u{3}\u{4}\n").contains("no recording"));
    let later = format!("{{\"flame_recording\":{},\"header\":{{}}}}\n", VERSION + 1);
    assert!(refused(&later).contains("use the build that wrote it"));
    let header = EVERYTHING.lines().next().expect("it has lines");
    let unknown = format!("{header}\n{{\"time\":1,\"what\":{{\"oracle\":{{}}}}}}\n");
    assert!(refused(&unknown).contains("line 2"), "{}", refused(&unknown));
    let extra = format!("{header}\n{{\"time\":1,\"what\":{{\"phase\":\"at_rest\"}},\"more\":1}}\n");
    assert!(refused(&extra).contains("unknown field"), "{}", refused(&extra));
}

#[test]
fn a_writer_that_cannot_write_says_so() {
    #[derive(Debug)]
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let story = Story::new();
    let error = Writer::new(Full, &story.recording.header).expect_err("nothing fits");
    assert!(matches!(error, FileError::Io(_)), "{error}");
}

#[test]
fn parts_are_joined_by_time() {
    let whole = Story::new().end();
    let mut parts: Vec<Vec<Event>> = vec![Vec::new(); 3];
    for (at, event) in whole.events.iter().enumerate() {
        parts[at * 7 % 3].push(event.clone());
    }
    let joined: Vec<Event> = merge(parts.into_iter().map(Vec::into_iter).collect()).collect();
    assert_eq!(joined, whole.events);
    accepted(&Recording { header: whole.header, events: joined });
}

#[test]
fn a_part_that_goes_back_in_time_is_not_put_in_order() {
    let event = |time, phase| Event { time: Nanos(time), what: What::Phase(phase) };
    let part = vec![event(5, Phase::HealBegan), event(3, Phase::AtRest)];
    let events: Vec<Event> = merge(vec![part.into_iter(), Vec::new().into_iter()]).collect();
    let recording = Recording { events, header: Story::new().recording.header };
    assert!(judge(&recording).expect_err("time goes back").why.contains("time goes back"));
}
