//! Runs the scenario files: each line is a command, and below it stands what came of it.
//!
//! Lines that begin with `>` are input, everything below is what it must print. `#` begins a comment. Commands joined by
//! `;` go into one entry. Besides commands there are `as CLIENT SEQ [below=N] COMMAND` (a numbered command), `once ID SEEN
//! COMMAND` (one with a request id of 16 times that byte; SEEN is a number, or `now` for the next one), `tick MS`,
//! `leader TERM [COORDINATOR]`, `plan` (propose what the planner says until it rests), `retain` (propose what retention wants until
//! it rests), `view …` and `restart`.
//! Every step ends with a check of all invariants and of the rows.

use std::fs;
use std::path::{Path, PathBuf};

use flame_machine::{Command, Item};
use flame_types::{ClientId, CoordinatorId, RequestId, RequestNo, Seq, Term};

use crate::language::{Line, command};
use crate::print;
use crate::world::World;

#[test]
fn scenario_files_print_what_they_say() {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"))
        .expect("the folder of scenario files")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "scenario files are missing: {files:?}");
    let differing: Vec<String> = files.iter().filter_map(|file| run_file(file)).collect();
    assert!(differing.is_empty(), "{}\nrun with BLESS=1 to accept", differing.join("\n"));
}

/// Runs one file. Returns what differs.
fn run_file(path: &Path) -> Option<String> {
    let expected = fs::read_to_string(path).expect("a readable scenario");
    let actual = run(&expected, path);
    if actual == expected {
        return None;
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, actual).expect("a writable scenario");
        return None;
    }
    let differs = actual.lines().zip(expected.lines()).enumerate().find(|(_, (actual, expected))| actual != expected);
    let (line, (actual, expected)) = differs.unwrap_or((actual.lines().count(), ("the end", "more")));
    Some(format!("{}:{}\n  expected: {expected}\n  printed:  {actual}", path.display(), line + 1))
}

/// The file as it should be: comments and inputs as they are, each input followed by what it printed.
fn run(text: &str, path: &Path) -> String {
    let mut world = World::new();
    let mut printed = String::new();
    for (at, line) in text.lines().enumerate() {
        let is_output = !line.is_empty() && !line.starts_with('#') && !line.starts_with('>');
        if is_output {
            continue;
        }
        printed += line;
        printed.push('\n');
        if let Some(input) = line.strip_prefix('>') {
            printed += &step(&mut world, input.trim());
            if let Err(broken) = world.check() {
                panic!("{}:{}: {input}\n{broken}\n\nso far:\n{printed}", path.display(), at + 1);
            }
        }
    }
    printed
}

fn step(world: &mut World, input: &str) -> String {
    let words: Vec<&str> = input.split_whitespace().collect();
    match words.as_slice() {
        ["view", rest @ ..] => print::view(world, rest),
        ["plan"] => {
            let done = world.settle();
            let line =
                |(command, reply): &(Command, _)| format!("  {} -> {}\n", print::command(command), print::reply(reply));
            if done.is_empty() { "  nothing\n".into() } else { done.iter().map(line).collect() }
        }
        ["retain"] => {
            let done = world.retain();
            let line =
                |(command, reply): &(Command, _)| format!("  {} -> {}\n", print::command(command), print::reply(reply));
            if done.is_empty() { "  nothing\n".into() } else { done.iter().map(line).collect() }
        }
        ["restart"] => {
            world.restart();
            String::new()
        }
        ["tick", ms] => {
            let ms = ms.parse().expect("milliseconds");
            let applied = world.apply(ms, vec![Command::Tick]);
            format!("{}{}", print::applied(&applied), if applied.placement_dirty { "  plan again\n" } else { "" })
        }
        ["leader", term, rest @ ..] => {
            world.term = Term(term.parse().expect("a term"));
            let leader = CoordinatorId(rest.first().map_or(1, |id| id.parse().expect("a coordinator")));
            print::applied(&world.apply(0, vec![Command::LeaderStart { leader }]))
        }
        _ => {
            let items = input.split(';').enumerate().map(|(at, part)| item(world, at, part.trim())).collect();
            print::applied(&world.apply_items(0, items))
        }
    }
}

fn item(world: &World, at: usize, text: &str) -> Item {
    let Some(numbered) = text.strip_prefix("as ") else {
        let command = change(world, text);
        return Item { client: ClientId::NONE, seq: Seq(at as u64), below: Seq(0), command };
    };
    let mut words = numbered.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("as CLIENT SEQ");
    let (client, seq) = (ClientId(number()), Seq(number()));
    let rest = words.next().expect("a command");
    let (below, rest) = match rest.strip_prefix("below=") {
        Some(rest) => rest.split_once(' ').expect("a command"),
        None => ("0", rest),
    };
    let below = Seq(below.parse().expect("a number"));
    Item { client, seq, below, command: change(world, rest) }
}

fn change(world: &World, text: &str) -> Command {
    let Some(once) = text.strip_prefix("once ") else { return command(&world.state, &Line::parse(text)) };
    let mut words = once.splitn(3, ' ');
    let mut word = || words.next().expect("once ID SEEN COMMAND");
    let request = RequestId([word().parse().expect("a byte"); 16]);
    let seen = match word() {
        "now" => world.state.next_request(),
        number => RequestNo(number.parse().expect("a number")),
    };
    Command::Once { request, seen, command: Box::new(change(world, word())) }
}
