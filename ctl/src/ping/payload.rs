//! What `flmping` sends to its service and gets back.

use serde::{Deserialize, Serialize};

/// What a task does. Without it, or with anything else in its place, a task does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PingInput {
    /// How long it sleeps, in milliseconds.
    pub duration: Option<u64>,
    /// How much memory it takes while it sleeps, in bytes.
    pub memory: Option<u64>,
}

/// What a task says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingOutput {
    /// In words.
    pub message: String,
}

impl PingInput {
    /// Reads any bytes: what is not this JSON asks for nothing.
    #[must_use]
    pub fn read(bytes: Option<&[u8]>) -> Self {
        // serde would read a list as the fields in their order: only an object is meant.
        let object = bytes.filter(|bytes| bytes.trim_ascii_start().starts_with(b"{"));
        object.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    }

    /// The bytes of a task's input; none when it asks for nothing.
    #[must_use]
    pub fn write(self) -> Option<Vec<u8>> {
        (self != Self::default()).then(|| serde_json::to_vec(&self).expect("two numbers always have a JSON form"))
    }
}

impl PingOutput {
    /// What to show for the output of a task: its message, or the bytes as text if they are something else.
    #[must_use]
    pub fn shown(bytes: Option<&[u8]>) -> String {
        let Some(bytes) = bytes else { return "-".to_owned() };
        match serde_json::from_slice::<Self>(bytes) {
            Ok(output) => output.message,
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_an_input() {
        let asked = PingInput { duration: Some(5), memory: Some(7) };
        assert_eq!(PingInput::read(asked.write().as_deref()), asked);
        assert_eq!(PingInput::read(Some(br#"{"duration":5}"#)), PingInput { duration: Some(5), memory: None });
        for other in [&b""[..], b"hello", b"\xff\x00", b"[1]", b"{\"duration\":\"x\"}"] {
            assert_eq!(PingInput::read(Some(other)), PingInput::default(), "{other:?}");
        }
        assert_eq!(PingInput::read(None), PingInput::default());
        assert_eq!(PingInput::default().write(), None);
    }

    #[test]
    fn any_output_can_be_shown() {
        assert_eq!(PingOutput::shown(Some(br#"{"message":"m"}"#)), "m");
        assert_eq!(PingOutput::shown(Some(b"plain")), "plain");
        assert_eq!(PingOutput::shown(None), "-");
    }
}
