//! Stacks of a profile, counted: by kind of process and thread, and by the function on top.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::accounting::Kind;

/// How many functions of each kind of process are listed.
const TOP_MAX: usize = 40;

/// Frames below which everything happens: they say nothing about where the time goes.
const SCAFFOLDING: &[&str] = &[
    "[unknown]",
    "do_syscall",
    "entry_SYSCALL",
    "std::",
    "<std::",
    "core::",
    "<core::",
    "alloc::",
    "<alloc::",
    "tokio::",
    "<tokio::",
    "__libc",
    "start_thread",
    "clone",
];

/// Samples, by whom and by stack.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    /// Kind, thread, then functions from the outermost in, with semicolons between: how often.
    counts: BTreeMap<(Kind, String), u64>,
    /// Samples of each kind by its topmost function.
    tops: BTreeMap<Kind, BTreeMap<String, u64>>,
    /// Samples of each kind by every function on the stack: what it costs with all that it calls.
    within: BTreeMap<Kind, BTreeMap<String, u64>>,
}

impl Stacks {
    /// Reads what `perf script -F comm,pid,ip,sym` prints: for each sample a line `THREAD PID`, then one `ADDRESS FUNCTION`
    /// for each frame, the innermost first, then an empty line.
    #[must_use]
    pub fn parse(text: &str, processes: &BTreeMap<u32, Kind>) -> Self {
        let mut stacks = Self::default();
        for sample in text.split("\n\n") {
            let mut lines = sample.lines().skip_while(|line| line.trim().is_empty());
            let Some((thread, pid)) = lines.next().and_then(headline) else { continue };
            let Some(kind) = processes.get(&pid) else { continue };
            let frames: Vec<String> = lines.filter_map(function).collect();
            stacks.add(*kind, thread, &frames);
        }
        stacks
    }

    fn add(&mut self, kind: Kind, thread: &str, frames: &[String]) {
        let mut stack = format!("{};{}", kind.name(), family(thread));
        for frame in frames.iter().rev() {
            let _ = write!(stack, ";{frame}");
        }
        *self.counts.entry((kind, stack)).or_default() += 1;
        let top = frames.first().map_or("(no stack)", String::as_str);
        *self.tops.entry(kind).or_default().entry(top.to_owned()).or_default() += 1;
        let within = self.within.entry(kind).or_default();
        let telling = |frame: &&String| !SCAFFOLDING.iter().any(|start| frame.starts_with(start));
        for frame in frames.iter().filter(telling).collect::<BTreeSet<_>>() {
            *within.entry(frame.clone()).or_default() += 1;
        }
    }

    /// A line for each stack: `kind;thread;outer;…;inner COUNT`, as flame-graph tools read it.
    #[must_use]
    pub fn collapsed(&self) -> String {
        self.counts.iter().map(|((_, stack), count)| format!("{stack} {count}\n")).collect()
    }

    /// For each kind of process its threads, and the functions that cost most: by themselves, and with what they call.
    #[must_use]
    pub fn top(&self) -> String {
        let all: u64 = self.counts.values().sum();
        let mut text = format!("{all} samples\n");
        for (kind, functions) in &self.tops {
            let of_kind: u64 = functions.values().sum();
            let _ = writeln!(text, "\n== {}: {of_kind} samples, {:.1} % of all ==", kind.name(), percent(of_kind, all));
            list(&mut text, "threads", &self.threads(*kind), of_kind);
            list(&mut text, "functions, by themselves", functions, of_kind);
            if let Some(within) = self.within.get(kind) {
                list(&mut text, "functions, with all that they call", within, of_kind);
            }
        }
        text
    }

    fn threads(&self, kind: Kind) -> BTreeMap<String, u64> {
        let mut threads = BTreeMap::new();
        for ((_, stack), count) in self.counts.iter().filter(|((of, _), _)| *of == kind) {
            let thread = stack.split(';').nth(1).unwrap_or_default();
            *threads.entry(thread.to_owned()).or_default() += count;
        }
        threads
    }
}

fn list(text: &mut String, title: &str, counts: &BTreeMap<String, u64>, all: u64) {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
    let _ = writeln!(text, "  {title}");
    for (name, count) in sorted.into_iter().take(TOP_MAX) {
        let _ = writeln!(text, "    {:>5.1} %  {name}", percent(*count, all));
    }
}

fn percent(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / (all.max(1) as f64)
}

/// `THREAD PID`, where the name of the thread may have blanks.
fn headline(line: &str) -> Option<(&str, u32)> {
    let (thread, pid) = line.trim().rsplit_once(char::is_whitespace)?;
    Some((thread.trim(), pid.parse().ok()?))
}

/// The function of `ADDRESS FUNCTION`, without what the compiler added to its name.
fn function(line: &str) -> Option<String> {
    let (_, name) = line.trim().split_once(' ')?;
    let name = name.trim();
    // `::h` and sixteen hexadecimal digits tell instances of one generic function apart; nobody reads them.
    let plain = match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => plain,
        _ => name,
    };
    Some(plain.replace(';', ","))
}

/// Threads of a pool are one: `tokio-rt-worker-3` and `rocksdb:low1` lose their number.
fn family(thread: &str) -> String {
    thread.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['-', ':']).replace(';', ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
raft-worker-1 77
\tffff1 inner::h0123456789abcdef
\tffff2 outer::{{closure}}

raft-worker-2 77
\tffff1 inner::h0123456789abcdef
\tffff2 outer::{{closure}}

my thread 78
\tffff3 [unknown]

stranger 99
\tffff3 x
";

    fn stacks() -> Stacks {
        Stacks::parse(PRINTED, &BTreeMap::from([(77, Kind::Leader), (78, Kind::Client)]))
    }

    #[test]
    fn stacks_are_counted_from_the_outside_in() {
        let expected = "leader;raft-worker;outer::{{closure}};inner 2\nclient;my thread;[unknown] 1\n";
        assert_eq!(stacks().collapsed(), expected);
    }

    #[test]
    fn the_costly_functions_come_first() {
        let text = stacks().top();
        assert!(text.starts_with("3 samples\n"), "{text}");
        assert!(text.contains("== leader: 2 samples, 66.7 % of all =="), "{text}");
        assert!(text.contains("100.0 %  inner\n") && !text.contains("stranger"), "{text}");
    }
}
