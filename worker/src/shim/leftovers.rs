//! Kills what a predecessor with the same work folder left, before the worker says its first Hello: the leader gives
//! the tasks of the predecessor away as soon as it hears from us, and they must not run twice at the same time.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::host::{frames_socket, remove_file};
use super::record::{Record, Stat};

/// Longest wait for killed processes to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Kills every process that the records name, waits until they are gone, and removes records and sockets.
/// Answers how many processes there were.
///
/// # Errors
/// Those of the file system; `TimedOut` when a process does not die.
pub(crate) async fn clear(folder: &Path, boot_id: &str) -> io::Result<usize> {
    let mut killed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let Some(record) = Record::parse(&fs::read_to_string(&file)?) else {
            tracing::warn!(file = %file.display(), "the record of a process was cut short; it is ignored");
            fs::remove_file(&file)?;
            continue;
        };
        if record.boot_id == boot_id {
            killed.extend(kill_all_of(&record));
        }
        remove_file(&record.socket)?;
        remove_file(&frames_socket(&record.socket))?;
        fs::remove_file(&file)?;
    }
    tokio::time::timeout(GONE_WITHIN, all_gone(&killed))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "a service of the previous worker does not die"))?;
    Ok(killed.len())
}

/// Sends SIGKILL to the recorded process and to what it started; answers whom it was sent to.
fn kill_all_of(record: &Record) -> Vec<(i32, u64)> {
    let mut found = Vec::new();
    for (pid, stat) in processes() {
        let is_leader = pid == record.pid && stat.start_time == record.start_time;
        if stat.is_dead() || !(is_leader || stat.group == record.pid && knows_socket(pid, &record.socket)) {
            continue;
        }
        if let Some(target) = Pid::from_raw(pid) {
            match kill_process(target, Signal::KILL) {
                Ok(()) => found.push((pid, stat.start_time)),
                Err(error) => tracing::warn!(pid, %error, "cannot kill a service of the previous worker"),
            }
        }
    }
    found
}

fn processes() -> impl Iterator<Item = (i32, Stat)> {
    let folder = fs::read_dir("/proc").into_iter().flatten().flatten();
    folder.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, Stat::read(pid)?))
    })
}

/// Whether a process was started with this socket in its environment.
fn knows_socket(pid: i32, socket: &Path) -> bool {
    let expected = format!("{}={}", super::host::SOCKET_VARIABLE, socket.display());
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == expected.as_bytes()))
}

async fn all_gone(killed: &[(i32, u64)]) {
    let alive = |(pid, start_time): &(i32, u64)| {
        Stat::read(*pid).is_some_and(|stat| stat.start_time == *start_time && !stat.is_dead())
    };
    while killed.iter().any(alive) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
