//! The processes of a peer, wherever they are.
//!
//! What we start carries an id in its environment, and so does what that starts in turn. Some programs write their title
//! over their environment, as Ray's workers do; those are found as descendants of the others.
//!
//! **Invariant:** only processes found in one of these two ways are ever signalled, and only while they still are what
//! they were found as: a pid is kept with the time its process began.
//! **Invariant:** when a [`Family`] is gone, so are all processes that were ever seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use flame_testkit::{RunId, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// For processes that were killed: the kernel needs a moment.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// How often a family is looked for when it is killed: what starts a process while it is killed is seen the next time.
const KILL_ROUNDS: usize = 50;
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// A process as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    parent: u32,
    /// Ticks from the start of the machine to its own.
    began: u64,
    is_dead: bool,
}

/// The processes of one run of one peer.
pub struct Family {
    run: RunId,
    seen: Mutex<BTreeMap<u32, u64>>,
}

impl Family {
    /// One without processes.
    #[must_use]
    pub fn new() -> Self {
        Self { run: RunId::new(), seen: Mutex::default() }
    }

    /// Makes what this command starts a member.
    pub fn adopt(&self, command: &mut Command) {
        let (name, value) = self.run.environment();
        command.env(name, value);
    }

    /// Those that live.
    #[must_use]
    pub fn members(&self) -> BTreeSet<u32> {
        let all = list();
        let marked = self.run.processes().into_iter().map(|(pid, _)| pid);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.iter().filter(|(pid, began)| all.get(pid).is_some_and(|now| now.began == **began));
        let roots: BTreeSet<u32> = known.map(|(pid, _)| *pid).chain(marked).collect();
        let living = with_descendants(roots, &all);
        seen.extend(living.iter().filter_map(|pid| Some((*pid, all.get(pid)?.began))));
        living
    }

    /// Waits for the end of all members, and kills those that are still there after `patience`.
    ///
    /// # Errors
    /// If a process cannot be ended.
    pub async fn end(&self, patience: Duration) -> Result<()> {
        let by_themselves = wait_until(patience, "the end of all processes", || async { self.none_lives() }).await;
        if by_themselves.is_ok() {
            return Ok(());
        }
        wait_until(KILL_LIMIT, "the end of all processes that were killed", || async {
            self.kill();
            self.none_lives()
        })
        .await
    }

    fn none_lives(&self) -> Result<()> {
        let members = self.members();
        ensure!(members.is_empty(), "{members:?} live");
        Ok(())
    }

    fn kill(&self) {
        for pid in self.members() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended by itself in the meantime; that is what we want.
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for Family {
    #[allow(clippy::disallowed_methods, reason = "a destructor has no other way to wait for what it has killed")]
    fn drop(&mut self) {
        for _ in 0..KILL_ROUNDS {
            if self.members().is_empty() {
                return;
            }
            self.kill();
            std::thread::sleep(KILL_PAUSE);
        }
        eprintln!("    WRONG: processes of a peer cannot be ended: {:?}", self.members());
    }
}

/// All processes of the machine.
fn list() -> BTreeMap<u32, Listed> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let listed = pids.filter_map(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse(&text)?))
    });
    listed.collect()
}

/// State, parent and start in the line of a process. Its name may hold anything, closing brackets too.
fn parse(text: &str) -> Option<Listed> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let is_dead = matches!(*fields.first()?, "Z" | "X");
    Some(Listed { parent: fields.get(1)?.parse().ok()?, began: fields.get(19)?.parse().ok()?, is_dead })
}

/// These and all that descend from them, without the dead.
fn with_descendants(roots: BTreeSet<u32>, all: &BTreeMap<u32, Listed>) -> BTreeSet<u32> {
    let mut found = roots;
    loop {
        let children: Vec<u32> = all
            .iter()
            .filter(|(pid, listed)| found.contains(&listed.parent) && !found.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    found.retain(|pid| all.get(pid).is_some_and(|listed| !listed.is_dead));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let text = "77 (odd) name) S 12 77 77 0 -1 4194560 100 0 0 0 31 9 5 2 20 0 3 0 4711 1 1\n";
        assert_eq!(parse(text), Some(Listed { parent: 12, began: 4711, is_dead: false }));
        assert!(parse("1 (a) Z 1 1 1 0 -1 1 1 0 0 0 1 1 1 1 20 0 1 0 5 1\n").is_some_and(|listed| listed.is_dead));
        assert_eq!(parse("1 (a) S"), None);
    }

    #[test]
    fn descendants_are_found_and_strangers_are_not() {
        let listed = |parent, is_dead| Listed { parent, began: 1, is_dead };
        let all = BTreeMap::from([
            (1, listed(0, false)),
            (10, listed(1, false)),
            (11, listed(10, true)),
            (12, listed(11, false)),
            (20, listed(1, false)),
        ]);
        assert_eq!(with_descendants(BTreeSet::from([10]), &all), BTreeSet::from([10, 12]));
    }

    /// A shell, a child in a session of its own, and a grandchild without the mark in its environment.
    fn start(family: &Family) -> Result<tokio::process::Child> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "setsid sleep 1000 & env -i sleep 1000 & wait"]);
        family.adopt(&mut command);
        Ok(command.spawn()?)
    }

    #[tokio::test]
    async fn every_process_is_found_and_ended() -> Result<()> {
        let family = Family::new();
        let mut shell = start(&family)?;
        wait_until(LIMIT, "three processes", || async {
            let members = family.members();
            ensure!(members.len() == 3, "{members:?}");
            Ok(())
        })
        .await?;
        // The parent of the unmarked one is gone: it was seen before, and is not forgotten.
        shell.kill().await?;
        assert_eq!(family.members().len(), 2);
        family.end(Duration::ZERO).await?;
        assert!(family.members().is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn dropping_the_family_ends_it() -> Result<()> {
        let family = Family::new();
        let mut shell = start(&family)?;
        drop(family);
        assert!(!shell.wait().await?.success());
        Ok(())
    }
}
