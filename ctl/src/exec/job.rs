//! What is to be run: a task's own words and those of its session, put together and checked.

use std::fmt;
use std::time::Duration;

use super::payload::{Defaults, ScriptInput};

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Shell,
}

impl Language {
    /// The name of the file that holds a script.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Python => "main.py",
            Self::Shell => "main.sh",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "python" => Ok(Self::Python),
            "shell" => Ok(Self::Shell),
            _ => Err(format!("the language {text:?} is not known; flmexec runs python and shell")),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "python",
            Self::Shell => "shell",
        })
    }
}

/// One script, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) language: Language,
    pub(super) runtime: Option<String>,
    pub(super) code: String,
    pub(super) input: Vec<u8>,
    pub(super) timeout: Option<Duration>,
}

impl Job {
    /// The task's own words win. A runtime of the session is for its own language only: a version of Python is no shell.
    ///
    /// # Errors
    /// What neither says, or what one of them says wrongly.
    pub(super) fn new(input: ScriptInput, defaults: &Defaults) -> Result<Self, String> {
        let own = named(input.language.as_deref()).map(Language::parse).transpose()?;
        let common = named(defaults.language.as_deref()).map(Language::parse).transpose();
        let common = common.map_err(|error| format!("in the common data of the session: {error}"))?;
        let language = own.or(common).ok_or("neither the task nor its session names a language: python or shell")?;
        let is_meant = common.is_none_or(|common| common == language);
        let of_session = named(defaults.runtime.as_deref()).filter(|_| is_meant);
        let runtime = named(input.runtime.as_deref()).or(of_session).map(str::to_owned);
        let timeout = input.timeout.or(defaults.timeout).map(span).transpose()?;
        Ok(Self { language, runtime, code: input.code, input: input.input.unwrap_or_default(), timeout })
    }
}

/// An empty text names nothing.
fn named(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn span(seconds: f64) -> Result<Duration, String> {
    let span = Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero());
    span.ok_or_else(|| format!("the timeout of {seconds} seconds is none; give a number above 0, or leave it out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(language: Option<&str>, runtime: Option<&str>, timeout: Option<f64>) -> ScriptInput {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (language, runtime) = (owned(language), owned(runtime));
        ScriptInput { language, code: "x".into(), input: None, runtime, timeout }
    }

    fn session(language: &str, runtime: &str, timeout: f64) -> Defaults {
        Defaults { language: Some(language.into()), runtime: Some(runtime.into()), timeout: Some(timeout) }
    }

    #[test]
    fn a_task_says_more_than_its_session() {
        let defaults = session("PYTHON", "3.12", 5.0);
        let job = |input| Job::new(input, &defaults).unwrap();
        let plain = job(script(None, None, None));
        assert_eq!((plain.language, plain.runtime.as_deref()), (Language::Python, Some("3.12")));
        assert_eq!((plain.timeout, plain.input.len()), (Some(Duration::from_secs(5)), 0));
        let own = job(script(Some(" Python "), Some("3.11"), Some(0.25)));
        assert_eq!((own.runtime.as_deref(), own.timeout), (Some("3.11"), Some(Duration::from_millis(250))));
        let other = job(script(Some("shell"), None, None));
        assert_eq!((other.language, other.runtime), (Language::Shell, None), "3.12 is no shell");
        let blank = job(script(Some(""), Some(" "), None));
        assert_eq!((blank.language, blank.runtime.as_deref()), (Language::Python, Some("3.12")));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |input, defaults: &Defaults| Job::new(input, defaults).unwrap_err();
        let nothing = Defaults::default();
        assert!(refused(script(None, None, None), &nothing).contains("names a language"));
        assert!(refused(script(Some("ruby"), None, None), &nothing).contains("\"ruby\" is not known"));
        assert!(refused(script(None, None, None), &session("perl", "", 1.0)).contains("common data"));
        for seconds in [0.0, -1.0, f64::INFINITY, f64::NAN, 1e300] {
            assert!(refused(script(Some("shell"), None, Some(seconds)), &nothing).contains("above 0"), "{seconds}");
        }
    }
}
