//! What an install writes: one file per application, `install.log`, and the one before it, `install.log.1`. Both outlive
//! the install, so that `flmctl logs install` can show them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flame_types::limits::INSTALL_LOG_BYTES_MAX;

/// Name of the file of the last install.
const FILE: &str = "install.log";

/// Name of the file of the install before.
const FILE_BEFORE: &str = "install.log.1";

/// Most bytes of the log in an error message.
const TAIL_BYTES_MAX: u64 = 2048;

/// Most lines of the log in an error message.
const TAIL_LINES_MAX: usize = 12;

/// The log of one install.
#[derive(Debug)]
pub(crate) struct InstallLog {
    path: PathBuf,
    file: File,
}

/// The log of the last install, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// When it was written last, in milliseconds since 1970.
    pub(crate) written_ms: i64,
    /// Whether its beginning is missing.
    pub(crate) is_cut: bool,
}

impl InstallLog {
    /// Begins a log; the last one becomes the one before.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        match fs::rename(&path, folder.join(FILE_BEFORE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// A line of our own.
    pub(crate) fn say(&mut self, line: &str) {
        // The install itself does not depend on its log.
        if let Err(error) = writeln!(self.file, "{line}") {
            tracing::warn!(file = %self.path.display(), %error, "cannot write the log of an install");
        }
    }

    /// For a tool to write to.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let text = end_of(&self.path, TAIL_BYTES_MAX).map(|(text, _)| text).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].join("\n")
    }
}

/// The log of the last install of an application; none if there was none.
pub(crate) fn show(folder: &Path) -> io::Result<Option<Shown>> {
    let path = folder.join(FILE);
    let written = match fs::metadata(&path) {
        Ok(metadata) => metadata.modified()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let written_ms = written.duration_since(UNIX_EPOCH).map(|age| age.as_millis()).unwrap_or_default();
    let (text, is_cut) = end_of(&path, INSTALL_LOG_BYTES_MAX as u64)?;
    Ok(Some(Shown { text, written_ms: i64::try_from(written_ms).unwrap_or(i64::MAX), is_cut }))
}

/// The end of a file, and whether its beginning is missing.
fn end_of(path: &Path, bytes_max: u64) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), start > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_log_is_shown_and_the_one_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(show(folder.path()).unwrap(), None);
        for name in ["one", "two"] {
            let mut log = InstallLog::begin(folder.path()).unwrap();
            log.say(name);
            assert_eq!(log.tail(), name);
        }
        let shown = show(folder.path()).unwrap().unwrap();
        assert_eq!((shown.text.as_str(), shown.is_cut), ("two\n", false));
        assert!(shown.written_ms > 1_600_000_000_000);
        assert_eq!(fs::read_to_string(folder.path().join(FILE_BEFORE)).unwrap(), "one\n");
    }

    #[test]
    fn a_long_log_is_shown_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = InstallLog::begin(folder.path()).unwrap();
        for number in 0..100_000 {
            log.say(&format!("line {number}"));
        }
        let shown = show(folder.path()).unwrap().unwrap();
        assert!(shown.is_cut && shown.text.len() <= INSTALL_LOG_BYTES_MAX && shown.text.ends_with("line 99999\n"));
        assert_eq!(log.tail().lines().count(), TAIL_LINES_MAX);
    }
}
