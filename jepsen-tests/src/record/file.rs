//! Recordings as files: JSON lines.
//!
//! ```text
//! {"flame_recording":1,"header":{"run":"demo","clock":"host","witnesses":["clients"],"plan":{…}}}
//! {"time":17,"what":{"client":{"process":3,"step":{"invoke":{"operation":{"get":{"session":"s","task":1}}}}}}}
//! {"time":21,"what":{"client":{"process":3,"step":{"ok":{"task":{"task":1,"state":"Pending"}}}}}}
//! ```
//!
//! The first line says what the file is, in which version of the format, and what the run was. Each other line is one event;
//! its number in the file, less one, is its index from 1. Both are written and read as streams, so a recording may be larger
//! than memory, and whatever writes one may die at any moment: what was written until then can be read.
//!
//! **Invariant:** a version is read for ever. What changes the meaning of a line raises the version; what is only added
//! (a kind of event, an optional field) raises it too, because an older build cannot judge what it does not know.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Event, Header, Recording};

/// What this build writes, and the highest it reads.
pub const VERSION: u32 = 1;

/// Longest line, so that something that is no recording does not fill the memory.
const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk, or the pipe.
    #[error("the recording cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// No first line, or another one.
    #[error("this is no recording: its first line is not {{\"flame_recording\":…}} ({0})")]
    NoRecording(String),
    /// Of a later build.
    #[error("the recording has version {found}, and this build reads up to {VERSION}: use the build that wrote it")]
    Later { found: u32 },
    /// A line that is no event.
    #[error("line {line} of the recording is no event: {why}")]
    Line { line: usize, why: String },
    /// The last line has no end.
    #[error(
        "line {line} of the recording breaks off: whoever wrote it was stopped; cut that line off to judge what is before it"
    )]
    BreaksOff { line: usize },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstLine<H> {
    flame_recording: u32,
    header: H,
}

/// Only enough of the first line to see which version it has.
#[derive(Deserialize)]
struct VersionOnly {
    flame_recording: u32,
}

/// Writes a recording, line by line.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the first line.
    ///
    /// # Errors
    /// If `out` does not take it.
    pub fn new(mut out: W, header: &Header) -> Result<Self, FileError> {
        write_line(&mut out, &FirstLine { flame_recording: VERSION, header })?;
        Ok(Self { out })
    }

    /// Writes one event.
    ///
    /// # Errors
    /// If the output does not take it.
    pub fn write(&mut self, event: &Event) -> Result<(), FileError> {
        write_line(&mut self.out, event)
    }

    /// Hands everything on.
    ///
    /// # Errors
    /// If the output does not take it.
    pub fn flush(&mut self) -> Result<(), FileError> {
        Ok(self.out.flush()?)
    }

    /// Hands everything on, and gives the output back.
    ///
    /// # Errors
    /// If the output does not take it.
    pub fn finish(mut self) -> Result<W, FileError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> Result<(), FileError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

/// Reads a recording, event by event.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    /// The line that was read last, from 1.
    line: usize,
    text: Vec<u8>,
    /// After an error there is nothing more.
    over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// If this is no recording, or one of a later version.
    pub fn new(mut input: R) -> Result<Self, FileError> {
        let mut text = Vec::new();
        let Some(first) = read_line(&mut input, &mut text, 1)? else {
            return Err(FileError::NoRecording("it is empty".to_owned()));
        };
        let no_recording = |error: serde_json::Error| FileError::NoRecording(error.to_string());
        let VersionOnly { flame_recording: found } = serde_json::from_slice(first).map_err(no_recording)?;
        if found > VERSION {
            return Err(FileError::Later { found });
        }
        let FirstLine { header, .. } = serde_json::from_slice(first).map_err(no_recording)?;
        Ok(Self { input, header, line: 1, text, over: false })
    }

    /// What the run was.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn read_all(mut self) -> Result<Recording, FileError> {
        let events = self.by_ref().collect::<Result<_, _>>()?;
        Ok(Recording { header: self.header, events })
    }

    fn next_event(&mut self) -> Result<Option<Event>, FileError> {
        let line = self.line + 1;
        let Some(text) = read_line(&mut self.input, &mut self.text, line)? else { return Ok(None) };
        self.line = line;
        let event = serde_json::from_slice(text);
        event.map(Some).map_err(|error| FileError::Line { line, why: error.to_string() })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let event = self.next_event().transpose();
        self.over = !matches!(event, Some(Ok(_)));
        event
    }
}

/// The next line without its end; `None` when there is none.
fn read_line<'t>(input: &mut impl BufRead, text: &'t mut Vec<u8>, line: usize) -> Result<Option<&'t [u8]>, FileError> {
    text.clear();
    let read = std::io::Read::take(&mut *input, LINE_BYTES_MAX).read_until(b'\n', text)?;
    if read == 0 {
        return Ok(None);
    }
    if text.last() != Some(&b'\n') {
        return Err(FileError::BreaksOff { line });
    }
    Ok(Some(&text[..text.len() - 1]))
}

impl Recording {
    /// Reads all of a file.
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn read(input: impl BufRead) -> Result<Self, FileError> {
        Reader::new(input)?.read_all()
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If the output does not take it.
    pub fn write(&self, out: impl Write) -> Result<(), FileError> {
        let mut writer = Writer::new(out, &self.header)?;
        self.events.iter().try_for_each(|event| writer.write(event))?;
        writer.flush()
    }
}
