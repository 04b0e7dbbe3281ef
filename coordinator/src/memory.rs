//! One budget of memory for the process, and the share of everything that takes much of it.
//!
//! `coordinator.memory` says how much there is. Each consumer takes its limit from its [`Share`] and from nowhere else,
//! so that a node on a small machine is small everywhere. What is not here is bounded by count: the live state (limits of
//! `flame-types`), connections and their HTTP/2 windows. `docs/reference/limits.md` lists all of it.
//!
//! **Invariant:** the shares add up to the whole.

use std::fmt;
use std::path::{Path, PathBuf};

use flame_types::resources::format_memory;

const MIB: u64 = 1 << 20;

/// With less than this a coordinator would refuse everything.
pub const MEMORY_MIN: u64 = 128 * MIB;

/// What is taken without being asked, at most: several coordinators may share a machine, and a larger cache is worth
/// little to one that keeps what is live in memory anyway.
const DEFAULT_MAX: u64 = 1024 * MIB;

/// The part of a machine's memory that is taken without being asked.
const DEFAULT_PART: u64 = 4;

/// Shares are counted in these.
const PARTS: u64 = 64;

/// Who takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Memtables of the log's database.
    LogMemtables,
    /// Memtables of the state's database.
    StateMemtables,
    /// Blocks of both databases.
    BlockCache,
    /// The newest entries of the log, for replication and apply.
    LogTail,
    /// Entries that wait for the log's writer.
    LogQueue,
    /// Entries that the leader has proposed and that are not settled.
    Entries,
    /// Commands that wait for the leader's next entry.
    Parcels,
    /// Commands of this node's clients that are not answered.
    Commands,
    /// Calls that wait until there is room for their commands.
    Waiting,
    /// Results that wait for the streams of this node's clients.
    Results,
    /// Messages to clients that wait for their connections.
    Messages,
    /// Inputs on their way to workers.
    Inputs,
    /// Everything else.
    Slack,
}

/// Every share, with its parts of the whole and what it is, as the reference lists them.
pub const SHARES: &[(Share, u64, &str)] = &[
    (Share::LogMemtables, 12, "memtables of the Raft log"),
    (Share::StateMemtables, 10, "memtables of the state's rows"),
    (Share::BlockCache, 4, "blocks of both databases"),
    (Share::LogTail, 4, "the newest entries of the log, for replication and apply"),
    (Share::LogQueue, 2, "entries that wait for the log's writer"),
    (Share::Entries, 4, "entries that the leader has proposed and that are not settled"),
    (Share::Parcels, 4, "commands that wait for the leader's next entry"),
    (Share::Commands, 8, "commands of this node's clients that are not answered"),
    (Share::Waiting, 4, "calls that wait until there is room for their commands"),
    (Share::Results, 3, "results that wait for the streams of this node's clients"),
    (Share::Messages, 3, "messages to clients that wait for their connections"),
    (Share::Inputs, 1, "inputs on their way to workers, as rows are stored"),
    (Share::Slack, 5, "everything else: connections, the state of small clusters"),
];

/// The budget of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    total: u64,
}

/// Why a budget cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Too little for one of the shares.
    #[error(
        "coordinator.memory is {}; a coordinator needs at least {}", format_memory(*.0), format_memory(MEMORY_MIN)
    )]
    TooLittle(u64),
    /// The machine has not got so much.
    #[error(
        "coordinator.memory is {}; this machine, or the control group this process is in, has {}",
        format_memory(*.wanted), format_memory(*.present)
    )]
    TooMuch {
        /// The configured size.
        wanted: u64,
        /// What there is.
        present: u64,
    },
}

impl Memory {
    /// The configured budget, or one by what this machine has.
    ///
    /// # Errors
    /// [`MemoryError`] says how much would do.
    pub fn new(configured: Option<u64>) -> Result<Self, MemoryError> {
        Self::within(configured, present())
    }

    fn within(configured: Option<u64>, present: Option<u64>) -> Result<Self, MemoryError> {
        match (configured, present) {
            (Some(wanted), _) if wanted < MEMORY_MIN => Err(MemoryError::TooLittle(wanted)),
            (Some(wanted), Some(present)) if wanted > present => Err(MemoryError::TooMuch { wanted, present }),
            (Some(total), _) => Ok(Self { total }),
            (None, present) => {
                let part = present.map_or(DEFAULT_MAX, |present| present / DEFAULT_PART);
                Ok(Self { total: part.clamp(MEMORY_MIN, DEFAULT_MAX) })
            }
        }
    }

    /// All of it, in bytes.
    #[must_use]
    pub fn total(self) -> u64 {
        self.total
    }

    /// What one of them may take, in bytes.
    #[must_use]
    pub fn share(self, share: Share) -> usize {
        let parts = SHARES.iter().find(|(listed, ..)| *listed == share).map_or(0, |(_, parts, _)| *parts);
        usize::try_from(self.total / PARTS * parts).unwrap_or(usize::MAX)
    }

    /// The same as permits of a semaphore.
    #[must_use]
    pub fn permits(self, share: Share) -> u32 {
        u32::try_from(self.share(share)).unwrap_or(u32::MAX)
    }
}

impl Default for Memory {
    /// What a machine gives that has enough.
    fn default() -> Self {
        Self { total: DEFAULT_MAX }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({})", format_memory(self.total))
    }
}

/// What this process may use at most, as far as that can be seen: the machine's memory, or less by a control group.
fn present() -> Option<u64> {
    let limits = control_group_files().into_iter().filter_map(|file| bytes_in(&file));
    limits.chain(machine()).min()
}

/// `MemTotal` of the machine.
fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Where the limits of this process's control group and those above it would be, in both versions of the interface.
fn control_group_files() -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let groups = Path::new(path).ancestors().filter_map(|group| group.strip_prefix("/").ok());
        files.extend(groups.map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// The limit in a file; none when it says "max", or cannot be read.
fn bytes_in(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up_to_the_whole() {
        assert_eq!(SHARES.iter().map(|(_, parts, _)| parts).sum::<u64>(), PARTS);
        for total in [MEMORY_MIN, MEMORY_MIN + 12_345, DEFAULT_MAX, 40 << 30] {
            let memory = Memory { total };
            let sum: u64 = SHARES.iter().map(|(share, ..)| memory.share(*share) as u64).sum();
            assert!(sum <= total && total - sum < PARTS, "{memory:?}");
        }
    }

    #[test]
    fn every_share_is_listed_once() {
        for (place, (share, ..)) in SHARES.iter().enumerate() {
            assert!(SHARES[..place].iter().all(|(other, ..)| other != share), "{share:?}");
            assert!(Memory::default().share(*share) >= 16 << 20);
        }
    }

    #[test]
    fn what_is_configured_must_be_there_and_be_enough() {
        assert_eq!(Memory::within(Some(2 << 30), Some(4 << 30)), Ok(Memory { total: 2 << 30 }));
        let too_little = Memory::within(Some(MIB), Some(4 << 30)).unwrap_err();
        assert_eq!(too_little.to_string(), "coordinator.memory is 1Mi; a coordinator needs at least 128Mi");
        let too_much = Memory::within(Some(8 << 30), Some(4 << 30)).unwrap_err();
        assert!(too_much.to_string().contains("coordinator.memory is 8Gi; this machine"), "{too_much}");
        assert_eq!(Memory::within(Some(8 << 30), None), Ok(Memory { total: 8 << 30 }), "nobody can say");
    }

    #[test]
    fn without_a_word_it_is_a_part_of_the_machine_within_bounds() {
        let chosen = |present| Memory::within(None, Some(present)).unwrap().total();
        assert_eq!(chosen(2 << 30), 512 << 20);
        assert_eq!(chosen(256 << 20), MEMORY_MIN);
        assert_eq!(chosen(64 << 30), DEFAULT_MAX);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(present().is_some_and(|bytes| bytes > 64 * MIB));
    }

    /// The reference shows this table: `BLESS=1` writes it anew.
    #[test]
    fn the_reference_shows_every_share() {
        const BEGIN: &str =
            "<!-- shares: begin (written by `BLESS=1 cargo nextest run --release -p flame-coordinator memory`) -->\n";
        const END: &str = "<!-- shares: end -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/limits.md");
        let mut expected = "| share | of 64 | of 1 GiB | for |\n|---|---|---|---|\n".to_owned();
        for (share, parts, what) in SHARES {
            let bytes = Memory::default().share(*share) as u64;
            expected += &format!("| {share:?} | {parts} | {} | {what} |\n", format_memory(bytes));
        }
        flame_metrics::page::check(path, BEGIN, END, &expected).unwrap();
    }
}
