//! What processes cost: processor time, memory, bytes written. Read from `/proc`.
//!
//! **Invariant:** no time is lost and none is counted twice. A process that ends passes its time on to the parent that
//! waited for it, so the sum over a tree of processes stays right whoever dies meanwhile.
//! **Invariant:** `foreign` is what nobody of us used: time of others on this machine, and time that the host of a
//! virtual machine took away.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The kernel tells times in hundredths of a second, on every architecture this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

const BYTES_PER_MB: f64 = 1_000_000.0;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The coordinator that led when the measurement began.
    Leader,
    /// The other coordinators.
    Followers,
    /// Workers.
    Worker,
    /// The processes that run tasks.
    Service,
    /// Who submits and waits: this process, and clients it starts.
    Client,
    /// Object caches.
    Cache,
    /// The servers and workers of another system that is compared with.
    Peer,
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Leader, Self::Followers, Self::Worker, Self::Service, Self::Client, Self::Cache, Self::Peer];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Followers => "followers",
            Self::Worker => "worker",
            Self::Service => "service",
            Self::Client => "client",
            Self::Cache => "cache",
            Self::Peer => "peer",
        }
    }
}

/// Times and bytes up to one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    machine: MachineTime,
    processes: BTreeMap<u32, Reading>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    kind: Kind,
    parent: u32,
    /// Its own and that of children it has waited for.
    ticks: u64,
    written: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct MachineTime {
    busy: u64,
    all: u64,
}

/// What was used between two snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor seconds, user and system, by kind.
    pub cpu_seconds: BTreeMap<Kind, f64>,
    /// Megabytes given to the disk.
    pub written_mb: f64,
    /// Share of the machine's processor time that others had, from 0 to 1.
    pub foreign: f64,
    /// Share of the machine's processor time that we had, from 0 to 1.
    pub own: f64,
}

impl Usage {
    /// Processor seconds of all kinds.
    #[must_use]
    pub fn cpu_total(&self) -> f64 {
        self.cpu_seconds.values().sum()
    }
}

impl Snapshot {
    /// Reads the processes. One that has ended meanwhile is left out.
    ///
    /// # Errors
    /// If the machine's own times cannot be read.
    pub fn take(processes: &BTreeMap<u32, Kind>) -> Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let machine = parse_machine(&text).context("/proc/stat does not begin with the times of all processors")?;
        let processes = processes.iter().filter_map(|(pid, kind)| Some((*pid, read_process(*pid, *kind)?))).collect();
        Ok(Self { machine, processes })
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Usage {
        let mut ticks: BTreeMap<Kind, i64> = BTreeMap::new();
        let mut written = 0;
        for (pid, now) in &self.processes {
            let then = before.processes.get(pid);
            *ticks.entry(now.kind).or_default() += signed(now.ticks) - then.map_or(0, |then| signed(then.ticks));
            written += now.written.saturating_sub(then.map_or(0, |then| then.written));
        }
        // A process that has ended is part of its parent's time now, and so is what it had used before.
        for (_, gone) in before.processes.iter().filter(|(pid, _)| !self.processes.contains_key(pid)) {
            if let Some(parent) = self.processes.get(&gone.parent) {
                *ticks.entry(parent.kind).or_default() -= signed(gone.ticks);
            }
        }
        let ours = ticks.values().sum::<i64>().max(0) as f64;
        let all = self.machine.all.saturating_sub(before.machine.all).max(1) as f64;
        let busy = self.machine.busy.saturating_sub(before.machine.busy) as f64;
        Usage {
            cpu_seconds: ticks
                .into_iter()
                .map(|(kind, ticks)| (kind, ticks.max(0) as f64 / TICKS_PER_SECOND))
                .collect(),
            written_mb: written as f64 / BYTES_PER_MB,
            // Ours is exact and the machine's is sampled, so the difference may come out a little below nothing.
            foreign: ((busy - ours) / all).clamp(0.0, 1.0),
            own: (ours / all).min(1.0),
        }
    }
}

/// Proportional share of memory by kind, in megabytes. Processes that have ended are left out.
#[must_use]
pub fn memory_mb(processes: &BTreeMap<u32, Kind>) -> BTreeMap<Kind, f64> {
    let mut memory = BTreeMap::new();
    for (pid, kind) in processes {
        if let Some(bytes) = pss_bytes(*pid) {
            *memory.entry(*kind).or_default() += bytes as f64 / BYTES_PER_MB;
        }
    }
    memory
}

/// Proportional share of memory of one process, in bytes; `None` when it has ended.
#[must_use]
pub fn pss_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(value_of(&text, "Pss")? * 1024)
}

fn signed(ticks: u64) -> i64 {
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

fn read_process(pid: u32, kind: Kind) -> Option<Reading> {
    let (parent, ticks) = parse_process(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    // Another user's process does not say what it writes.
    let written = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    Some(Reading { kind, parent, ticks, written: value_of(&written, "write_bytes").unwrap_or(0) })
}

/// The parent, and user and system time of the process and of children it has waited for.
fn parse_process(text: &str) -> Option<(u32, u64)> {
    // The name may hold anything, closing brackets too; behind the last one, fields are numbers from the third on.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some((fields.get(1)?.parse().ok()?, ticks))
}

fn parse_machine(text: &str) -> Option<MachineTime> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, idle, waiting, interrupts, soft, stolen] = *fields.first_chunk::<8>()?;
    let busy = user + nice + system + interrupts + soft + stolen;
    Some(MachineTime { busy, all: busy + idle + waiting })
}

/// The number in a line `key: number …`.
fn value_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(kind: Kind, parent: u32, ticks: u64, written: u64) -> Reading {
        Reading { kind, parent, ticks, written }
    }

    fn snapshot(busy: u64, all: u64, processes: &[(u32, Reading)]) -> Snapshot {
        Snapshot { machine: MachineTime { busy, all }, processes: processes.iter().copied().collect() }
    }

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let text = "77 (odd) name) S 12 77 77 0 -1 4194560 100 0 0 0 31 9 5 2 20 0 3 0 1 1 1\n";
        assert_eq!(parse_process(text), Some((12, 47)));
        let machine = parse_machine("cpu  10 1 5 80 4 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
        assert_eq!(machine, Some(MachineTime { busy: 22, all: 106 }));
        assert_eq!(value_of("Rss:  9 kB\nPss:  7 kB\nPss_Dirty: 3 kB\n", "Pss"), Some(7));
        assert_eq!(parse_machine("intr 1"), None);
        assert_eq!(parse_process("77 (name) S 12"), None);
    }

    #[test]
    fn what_others_used_is_the_rest() {
        let before =
            snapshot(100, 1000, &[(1, reading(Kind::Client, 0, 50, 0)), (2, reading(Kind::Leader, 1, 10, 500))]);
        let after =
            snapshot(300, 1400, &[(1, reading(Kind::Client, 0, 110, 0)), (2, reading(Kind::Leader, 1, 50, 2_000_500))]);
        let usage = after.since(&before);
        assert_eq!(usage.cpu_seconds, BTreeMap::from([(Kind::Client, 0.6), (Kind::Leader, 0.4)]));
        assert_eq!((usage.cpu_total(), usage.written_mb), (1.0, 2.0));
        assert_eq!((usage.own, usage.foreign), (0.25, 0.25));
    }

    #[test]
    fn a_process_that_ends_is_counted_once() {
        let leader = reading(Kind::Leader, 1, 100, 0);
        let before = snapshot(0, 0, &[(1, reading(Kind::Client, 0, 50, 0)), (2, leader)]);
        // It used 30 more before it died; its parent used 5 itself. A new one has used 7.
        let new = reading(Kind::Followers, 1, 7, 0);
        let after = snapshot(42, 100, &[(1, reading(Kind::Client, 0, 50 + 5 + 130, 0)), (3, new)]);
        let usage = after.since(&before);
        assert_eq!(usage.cpu_total(), 0.42);
        assert_eq!(usage.cpu_seconds[&Kind::Client], 0.35);
        assert_eq!(usage.foreign, 0.0);
    }

    #[test]
    fn this_process_can_be_read() {
        let own = BTreeMap::from([(std::process::id(), Kind::Client)]);
        let first = Snapshot::take(&own).expect("Linux has /proc");
        assert!(first.processes.contains_key(&std::process::id()));
        assert!(memory_mb(&own)[&Kind::Client] > 0.0);
    }
}
