//! The file that lets a successor find a process: `<work_dir>/run/<executor>`.
//!
//! Process ids are used again, so a record says more than the id: the boot, the start time of the process, and the
//! socket it was given, which stands in the environment of every process of its group.
//!
//! **Invariant:** a record is believed only for the boot that wrote it, and a process is taken for the recorded one only
//! if its start time or its environment says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flame_types::ExecutorKey;

/// What is known about a process that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Of the machine, changes with every boot.
    pub boot_id: String,
    /// Leader of its process group.
    pub pid: i32,
    /// In ticks since boot.
    pub start_time: u64,
    /// Path of its socket.
    pub socket: PathBuf,
}

impl Record {
    /// The file of an executor's record.
    pub(crate) fn path(folder: &Path, executor: ExecutorKey) -> PathBuf {
        folder.join(executor.to_string())
    }

    /// Writes the record. It is not synced: it is of no use after a power cut.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let text = format!("{}\n{}\n{}\n{}\n", self.boot_id, self.pid, self.start_time, self.socket.display());
        fs::write(file, text)
    }

    /// Reads a record; `None` for a file that was cut short by the death of its writer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let boot_id = lines.next()?.to_owned();
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 1)?;
        let start_time = lines.next()?.parse().ok()?;
        let socket = PathBuf::from(lines.next()?);
        Some(Self { boot_id, pid, start_time, socket })
    }
}

/// Start time and process group of a process, from its line in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `Z` and `X` are dead already.
    pub state: char,
    /// Its process group.
    pub group: i32,
    /// In ticks since boot.
    pub start_time: u64,
}

impl Stat {
    /// What the kernel says about a process now; `None` when there is none of that id.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads `pid (name) state ppid pgrp …`; the name may hold anything, a closing bracket too.
    fn parse(line: &str) -> Option<Self> {
        const GROUP: usize = 2;
        const START_TIME: usize = 19;
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            group: fields.get(GROUP)?.parse().ok()?,
            start_time: fields.get(START_TIME)?.parse().ok()?,
        })
    }

    /// Whether the process has ended and only waits to be collected.
    pub(crate) fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { boot_id: "b-1".into(), pid: 77, start_time: 12, socket: "/s/1.sock".into() };
        let file = Record::path(folder.path(), ExecutorKey(1));
        record.write(&file).unwrap();
        assert_eq!(Record::parse(&fs::read_to_string(file).unwrap()), Some(record));
    }

    #[test]
    fn half_a_record_is_none() {
        for text in
            ["", "boot\n", "boot\n77\n", "boot\n77\n12\n", "boot\nx\n12\n/s\n", "boot\n1\n12\n/s\n", "b\n-5\n1\n/s\n"]
        {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_hostile_process_name_does_not_confuse() {
        let line = "42 (a) b (c)) S 1 40 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'S', group: 40, start_time: 9876 }));
    }

    #[test]
    fn this_process_is_found() {
        let own = Stat::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.start_time > 0 && !own.is_dead());
    }
}
