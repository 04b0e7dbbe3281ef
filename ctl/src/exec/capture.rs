//! What a script wrote, within bounds.
//!
//! A byte takes up to four characters of the result's JSON, and a result must fit into one reply of a published client.
//! So the bounds are a quarter of that, with room to spare.

use flame_sdk::types::limits::TASK_PAYLOAD_BYTES_MAX;

/// Most bytes of a script's stdout that a result carries. A script that writes more fails.
pub const STDOUT_BYTES_MAX: usize = 896 * 1024;

/// Most bytes of a script's stderr that a result carries: the last ones.
pub const STDERR_BYTES_MAX: usize = 64 * 1024;

/// Most lines and bytes of stderr in the message of a failed task.
const MESSAGE_LINES_MAX: usize = 20;
const MESSAGE_BYTES_MAX: usize = 2048;

/// Most characters of JSON that one byte takes: three digits and a comma.
const CHARACTERS_PER_BYTE: usize = 4;

/// The keys and brackets, and the line that says how much was left out.
const FRAME_BYTES: usize = 1024;

const _: () = assert!(
    (STDOUT_BYTES_MAX + STDERR_BYTES_MAX) * CHARACTERS_PER_BYTE + FRAME_BYTES <= TASK_PAYLOAD_BYTES_MAX,
    "a result that is taken from a script can be given to a client"
);

/// All of a script's stdout, as long as that is not too much.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    is_too_much: bool,
}

impl Whole {
    /// Takes more in. Whether it still fits.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        if self.is_too_much || self.bytes.len() + bytes.len() > STDOUT_BYTES_MAX {
            self.is_too_much = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        !self.is_too_much
    }

    /// Whether something did not fit.
    pub(super) fn is_too_much(&self) -> bool {
        self.is_too_much
    }
}

/// The end of a script's stderr.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    left_out: usize,
}

impl Tail {
    /// Takes more in, at the expense of what came first.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Not at every byte above the bound: moving the rest costs more than keeping it for a while.
        if self.bytes.len() > 2 * STDERR_BYTES_MAX {
            self.cut();
        }
    }

    /// For the result: the end, and above it a line that says what is missing, if anything is.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.cut();
        if self.left_out == 0 {
            return self.bytes;
        }
        let mut bytes = format!("[the first {} bytes of stderr were left out]\n", self.left_out).into_bytes();
        bytes.append(&mut self.bytes);
        bytes
    }

    /// For a message: the last lines.
    pub(super) fn last_lines(&self) -> String {
        let bytes = self.bytes.trim_ascii_end();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MESSAGE_BYTES_MAX)..]);
        // What is no text has become longer.
        let text = &text[text.ceil_char_boundary(text.len().saturating_sub(MESSAGE_BYTES_MAX))..];
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(MESSAGE_LINES_MAX)..].join("\n")
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(STDERR_BYTES_MAX);
        self.bytes.drain(..surplus);
        self.left_out += surplus;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdout_is_whole_or_too_much() {
        let mut whole = Whole::default();
        assert!(whole.push(&vec![b'x'; STDOUT_BYTES_MAX]) && !whole.is_too_much());
        assert!(!whole.push(b"y") && whole.is_too_much());
        assert!(!whole.push(b""), "what came after a gap is not kept");
        assert_eq!(whole.bytes.len(), STDOUT_BYTES_MAX);
    }

    #[test]
    fn stderr_keeps_its_end_and_says_what_is_missing() {
        let mut tail = Tail::default();
        tail.push(b"short");
        assert_eq!(tail.into_bytes(), b"short");
        let (mut tail, line) = (Tail::default(), b"0123456789abcde\n");
        let lines = 3 * STDERR_BYTES_MAX / line.len();
        (0..lines).for_each(|_| tail.push(line));
        tail.push(b"the end");
        assert!(tail.bytes.len() <= 2 * STDERR_BYTES_MAX, "memory is bounded");
        let bytes = tail.into_bytes();
        let left_out = 2 * STDERR_BYTES_MAX + b"the end".len();
        let head = format!("[the first {left_out} bytes of stderr were left out]\n");
        assert!(bytes.starts_with(head.as_bytes()) && bytes.ends_with(b"\nthe end"));
        assert_eq!(bytes.len(), head.len() + STDERR_BYTES_MAX);
    }

    #[test]
    fn a_message_has_the_last_lines() {
        let mut tail = Tail::default();
        assert_eq!(tail.last_lines(), "");
        (0..50).for_each(|number| tail.push(format!("line {number}\n").as_bytes()));
        let lines = tail.last_lines();
        assert!(lines.starts_with("line 30\n") && lines.ends_with("\nline 49"), "{lines}");
        tail.push(&vec![b'x'; 10_000]);
        assert_eq!(tail.last_lines().len(), MESSAGE_BYTES_MAX);
        tail.push(&[0xff; 10_000]);
        assert!(tail.last_lines().len() <= MESSAGE_BYTES_MAX, "also of what is no text");
    }
}
