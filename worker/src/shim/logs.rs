//! Where services write: `<log_dir>/<executor>.out` and `.err`. They stay when the executor leaves, so that somebody
//! can read why it failed; the oldest are deleted when there are more than are kept.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use flame_types::ExecutorKey;

/// Most bytes of a log that go into an error message.
const TAIL_BYTES_MAX: u64 = 2048;

/// Most lines of a log that go into an error message.
const TAIL_LINES_MAX: usize = 12;

/// The log folder.
#[derive(Debug)]
pub(crate) struct Logs {
    folder: PathBuf,
    kept_max: usize,
    /// Executors that have ended, oldest first: their files may be deleted.
    ended: Mutex<VecDeque<ExecutorKey>>,
}

impl Logs {
    /// Opens the folder. Files that lie there already belong to executors that have ended.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(folder: &Path, kept_max: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut found: Vec<(SystemTime, ExecutorKey)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".err")) else { continue };
            let Ok(executor) = stem.parse() else { continue };
            found.push((entry.metadata()?.modified()?, ExecutorKey(executor)));
        }
        found.sort_unstable();
        let ended = found.into_iter().map(|(_, executor)| executor).collect();
        let logs = Self { folder: folder.to_owned(), kept_max, ended: Mutex::new(ended) };
        logs.delete_oldest();
        Ok(logs)
    }

    /// Fresh files for what an executor's service writes: standard output and standard error.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn create(&self, executor: ExecutorKey) -> io::Result<(File, File)> {
        Ok((File::create(self.file(executor, "out"))?, File::create(self.file(executor, "err"))?))
    }

    /// The last lines of an executor's standard error, for an error message; empty when it wrote none.
    pub(crate) fn tail(&self, executor: ExecutorKey) -> String {
        match tail(&self.file(executor, "err")) {
            Ok(text) => text,
            Err(error) => format!("(its log cannot be read: {error})"),
        }
    }

    /// The executor has ended: its files stay until they are among the oldest.
    pub(crate) fn on_ended(&self, executor: ExecutorKey) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back(executor);
        self.delete_oldest();
    }

    fn delete_oldest(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while ended.len() > self.kept_max {
            let Some(oldest) = ended.pop_front() else { break };
            for kind in ["out", "err"] {
                let file = self.file(oldest, kind);
                if let Err(error) = fs::remove_file(&file)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(file = %file.display(), %error, "cannot delete an old log");
                }
            }
        }
    }

    fn file(&self, executor: ExecutorKey, kind: &str) -> PathBuf {
        self.folder.join(format!("{executor}.{kind}"))
    }
}

fn tail(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_oldest_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), 2).unwrap();
        for number in 1..=4 {
            logs.create(ExecutorKey(number)).unwrap();
            logs.on_ended(ExecutorKey(number));
        }
        let mut names: Vec<String> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["3.err", "3.out", "4.err", "4.out"]);
        let fewer = Logs::open(folder.path(), 1).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(fewer);
    }

    #[test]
    fn the_tail_is_short_and_has_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), 2).unwrap();
        let (_, mut err) = logs.create(ExecutorKey(1)).unwrap();
        assert_eq!(logs.tail(ExecutorKey(1)), "");
        for line in 0..10_000 {
            writeln!(err, "line {line}").unwrap();
        }
        let tail = logs.tail(ExecutorKey(1));
        assert!(tail.ends_with("line 9999") && tail.lines().count() == TAIL_LINES_MAX, "{tail}");
    }
}
