//! What `flmexec` sends to its service and gets back, as JSON. The keys `language`, `code`, `input`, `runtime` and `data`
//! are published; the others are ours, and clients that do not know them are none the worse.

use serde::{Deserialize, Serialize};

/// A script to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptInput {
    /// `python` or `shell`, in any case. When absent, as the session says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The script itself.
    pub code: String,
    /// What it reads from its standard input; nothing when absent.
    #[serde(default)]
    pub input: Option<Vec<u8>>,
    /// The version of Python, or which shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// How long it may run, in seconds. As the session says when absent; for ever when that says nothing either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
}

/// What a script that ended with 0 wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptOutput {
    /// To its standard output.
    pub data: Vec<u8>,
    /// To its standard error; the end of it, below a line that says so, when that was much.
    #[serde(default)]
    pub stderr: Vec<u8>,
    /// Always 0: a script with another one fails its task.
    #[serde(default)]
    pub exit_code: i32,
}

/// What holds for all scripts of a session that do not say otherwise: its common data, if that is a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Defaults {
    #[serde(default)]
    pub(super) language: Option<String>,
    #[serde(default)]
    pub(super) runtime: Option<String>,
    #[serde(default)]
    pub(super) timeout: Option<f64>,
}

impl ScriptInput {
    /// Reads the input of a task.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn read(bytes: Option<&[u8]>) -> Result<Self, String> {
        const FORM: &str = "flmexec takes JSON like {\"language\": \"shell\", \"code\": \"hostname\", \"input\": null}";
        let bytes = bytes.ok_or_else(|| format!("the task has no input; {FORM}"))?;
        if !is_object(bytes) {
            return Err(format!("the task's input is no JSON object; {FORM}"));
        }
        serde_json::from_slice(bytes).map_err(|error| format!("the task's input is wrong: {error}; {FORM}"))
    }

    /// The bytes of a task's input.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, bytes and a finite number always have a JSON form")
    }
}

impl Defaults {
    /// Reads the common data of a session. Anything may be common data: what is no JSON object sets nothing.
    ///
    /// # Errors
    /// When it is an object, but a key that we know has a value of another kind.
    pub(super) fn read(common_data: Option<&[u8]>) -> Result<Self, String> {
        let object = common_data.filter(|bytes| is_object(bytes));
        let value = object.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
        let Some(value) = value else { return Ok(Self::default()) };
        serde_json::from_value(value).map_err(|error| format!("the common data of the session is wrong: {error}"))
    }
}

/// serde would read a list as the fields in their order: only an object is meant.
fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_inputs_are_read_and_ours_can_be_read_by_everybody() {
        let published = br#"{"language":"Python","code":"print(1)","input":[104,105],"runtime":"3.12","other":1}"#;
        let read = ScriptInput::read(Some(published)).unwrap();
        assert_eq!((read.language.as_deref(), read.input.as_deref()), (Some("Python"), Some(&b"hi"[..])));
        assert_eq!((read.runtime.as_deref(), read.timeout), (Some("3.12"), None));
        let plain = ScriptInput { language: Some("shell".into()), code: "ls".into(), ..ScriptInput::default() };
        assert_eq!(plain.write(), br#"{"language":"shell","code":"ls","input":null}"#);
        let full = ScriptInput { input: Some(vec![0, 255]), timeout: Some(1.5), ..plain };
        assert_eq!(full.write(), br#"{"language":"shell","code":"ls","input":[0,255],"timeout":1.5}"#);
        assert_eq!(ScriptInput::read(Some(&full.write())).unwrap(), full);
    }

    #[test]
    fn what_is_no_script_is_refused_with_the_form_that_is_meant() {
        for bytes in [None, Some(&b""[..]), Some(b"hello"), Some(b"[1]"), Some(b"{}"), Some(br#"{"code":1}"#)] {
            let text = ScriptInput::read(bytes).unwrap_err();
            assert!(text.contains(r#"{"language": "shell""#), "{bytes:?}: {text}");
        }
        let text = ScriptInput::read(Some(br#"{"code":"","input":[256]}"#)).unwrap_err();
        assert!(text.contains("256"), "{text}");
    }

    #[test]
    fn common_data_may_be_anything_but_an_object_must_be_right() {
        for bytes in [None, Some(&b"text"[..]), Some(b"{not json"), Some(b"[1]"), Some(br#"{"resreq":"cpu=1"}"#)] {
            assert_eq!(Defaults::read(bytes).unwrap(), Defaults::default(), "{bytes:?}");
        }
        let read =
            Defaults::read(Some(br#"{"language":"python","runtime":null,"min_instances":1,"timeout":3}"#)).unwrap();
        assert_eq!(read, Defaults { language: Some("python".into()), runtime: None, timeout: Some(3.0) });
        let text = Defaults::read(Some(br#"{"timeout":"long"}"#)).unwrap_err();
        assert!(text.contains("common data") && text.contains("long"), "{text}");
    }
}
