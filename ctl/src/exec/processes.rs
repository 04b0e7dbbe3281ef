//! Ending every child of this process, and theirs.
//!
//! **Invariant:** a child is signalled by the only one who could reap it: its number is its own.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};

use crate::output::note;

/// Kills and reaps until no child is left. What a killed child leaves behind becomes a child if this process takes orphans
/// in.
pub(super) fn end_children() {
    loop {
        match reap(WaitOptions::NOHANG) {
            Reaped::Nobody => return,
            Reaped::One => continue,
            Reaped::AllLive => {}
        }
        let children = children();
        let killed = children.iter().filter(|child| is_killed(**child)).count();
        if killed > 0 {
            reap(WaitOptions::empty());
        } else if !children.is_empty() {
            // Of another user, as sudo has them.
            let numbers: Vec<_> = children.iter().map(|child| child.as_raw_pid()).collect();
            note(&format!("flmexec: processes {numbers:?} may not be killed and go on\n"));
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaped {
    One,
    AllLive,
    /// There are no children.
    Nobody,
}

fn reap(options: WaitOptions) -> Reaped {
    loop {
        return match wait(options) {
            Ok(Some(_)) => Reaped::One,
            Ok(None) => Reaped::AllLive,
            Err(Errno::INTR) => continue,
            Err(_) => Reaped::Nobody,
        };
    }
}

fn is_killed(child: Pid) -> bool {
    kill_process(child, Signal::KILL).is_ok()
}

/// The processes whose parent this one is, those that wait to be reaped included.
fn children() -> Vec<Pid> {
    let this = getpid().as_raw_pid();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(this)).filter_map(Pid::from_raw).collect()
}

/// The fourth word of `/proc/PID/stat`; the second is the name, in brackets, and may hold anything.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_knows_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(parent(pid), Some(getpid().as_raw_pid()));
        assert!(children().contains(&Pid::from_raw(pid).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
