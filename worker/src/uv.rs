//! Stands in for `uv` where there is none: `uv run --python VERSION python …`, and nothing else.
//!
//! The published template of the Runner starts `${FLAME_HOME}/bin/uv`. What that needs of uv is an interpreter of a certain
//! version; the worker has found one already, and says so in the environment.
//!
//! **Invariant:** the process id does not change: what the worker started is the service.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::installer::environment::PYTHON_VARIABLE;
use crate::installer::plan::VERSION_VARIABLE;
use crate::installer::python::version::Version;

/// The first word of what it says about its version: whoever looks for uv itself sees that this is not it.
const NAME: &str = "flame-uv";

/// Exit code for words that it does not know, as uv has it.
const EXIT_USAGE: u8 = 2;

/// Exit code when there is no such interpreter, as shells have it.
const EXIT_NOT_FOUND: u8 = 127;

/// What it is told to do.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    /// Say the version.
    Version,
    /// Become an interpreter of this version, if one is named, with these arguments.
    Run(Option<Version>, Vec<OsString>),
}

/// What it does not know.
#[derive(Debug, PartialEq, Eq)]
struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{NAME}: {}; it stands in for uv and knows only `uv run --python VERSION python ARGUMENTS`. For more, put uv \
             itself in its place",
            self.0
        )
    }
}

/// Does what the arguments say. Returns only when it does not become an interpreter.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let order = match parse(arguments) {
        Ok(order) => order,
        Err(unknown) => {
            eprintln!("{unknown}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let Order::Run(wanted, arguments) = order else {
        println!("{NAME} {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    };
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(python) = find(wanted, &variable) else {
        let wanted = wanted.map_or_else(String::new, |version| format!(" {version}"));
        eprintln!("{NAME}: there is no Python{wanted} here; install it, or name it with worker.python");
        return ExitCode::from(EXIT_NOT_FOUND);
    };
    let error = Command::new(&python).args(arguments).exec();
    eprintln!("{NAME}: cannot run {}: {error}", python.display());
    ExitCode::from(EXIT_NOT_FOUND)
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Order, Unknown> {
    let unknown = |word: &OsStr| Unknown(format!("{:?} is not known", word.to_string_lossy()));
    match arguments.next() {
        Some(word) if word == "--version" || word == "-V" => return Ok(Order::Version),
        Some(word) if word == "run" => {}
        Some(word) => return Err(unknown(&word)),
        None => return Err(Unknown("nothing is asked for".to_owned())),
    }
    let mut version = None;
    while let Some(word) = arguments.next() {
        let text = word.to_string_lossy().into_owned();
        if let Some(inline) = text.strip_prefix("--python=") {
            version = parse_version(inline)?;
        } else if matches!(text.as_str(), "--python" | "-p") {
            let value = arguments.next().ok_or_else(|| Unknown(format!("{text} names no version")))?;
            version = parse_version(&value.to_string_lossy())?;
        } else if matches!(text.as_str(), "--" | "--no-project" | "--quiet" | "-q") {
            // What they say holds here in any case.
        } else if is_python(&text) {
            return Ok(Order::Run(version.or_else(|| Version::parse(&text)), arguments.collect()));
        } else {
            return Err(unknown(&word));
        }
    }
    Err(Unknown("no command is given to run".to_owned()))
}

/// `3.12`, `python3.12`; `python` and `3` are any version.
fn parse_version(text: &str) -> Result<Option<Version>, Unknown> {
    if matches!(text, "python" | "python3" | "3") {
        return Ok(None);
    }
    Version::parse(text).map(Some).ok_or_else(|| Unknown(format!("{text:?} is no version of Python")))
}

/// `python`, `python3`, `python3.12`.
fn is_python(word: &str) -> bool {
    matches!(word, "python" | "python3") || word.starts_with("python") && Version::parse(word).is_some()
}

/// The interpreter that the worker has found, if it is of that version; else the one of that name in `PATH`.
fn find(wanted: Option<Version>, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let found = variable(VERSION_VARIABLE).and_then(|text| Version::parse(&text.to_string_lossy()));
    if let Some(python) = variable(PYTHON_VARIABLE)
        && (wanted.is_none() || wanted == found)
    {
        return Some(PathBuf::from(python));
    }
    let names = match wanted {
        Some(version) => vec![format!("python{version}")],
        None => vec!["python3".to_owned(), "python".to_owned()],
    };
    let path = variable("PATH").unwrap_or_default();
    let in_path =
        |name: &String| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_file(path));
    names.iter().find_map(in_path)
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Order, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|unknown| unknown.0)
    }

    fn run(version: Option<&str>, words: &[&str]) -> Result<Order, String> {
        let version = version.map(|text| Version::parse(text).unwrap());
        Ok(Order::Run(version, words.iter().map(OsString::from).collect()))
    }

    #[test]
    fn the_published_template_is_understood() {
        let words = ["-m", "flamepy.runner.runpy"];
        assert_eq!(parsed("run --python python3.12 python -m flamepy.runner.runpy"), run(Some("3.12"), &words));
        assert_eq!(parsed("run --python=3.12 -- python3 x"), run(Some("3.12"), &["x"]));
        assert_eq!(parsed("run -p python --no-project python x --python y"), run(None, &["x", "--python", "y"]));
        assert_eq!(parsed("run python3.11 x"), run(Some("3.11"), &["x"]));
        assert_eq!(parsed("--version"), Ok(Order::Version));
    }

    #[test]
    fn everything_else_is_not() {
        for (line, part) in [
            ("", "nothing is asked for"),
            ("pip install x", "\"pip\" is not known"),
            ("run --with x python", "\"--with\" is not known"),
            ("run ruff", "\"ruff\" is not known"),
            ("run --python", "names no version"),
            ("run --python python${FLAME_PYTHON_VERSION} python", "is no version of Python"),
            ("run", "no command"),
        ] {
            let why = parsed(line).unwrap_err();
            assert!(why.contains(part), "{line}: {why}");
        }
    }

    #[test]
    fn the_interpreter_of_the_worker_comes_first() {
        let bin = tempfile::tempdir().unwrap();
        for name in ["python3.11", "python3"] {
            std::fs::write(bin.path().join(name), "").unwrap();
        }
        let path = bin.path().as_os_str().to_owned();
        let find = |wanted: Option<&str>, found: Option<(&str, &str)>| {
            let variable = |name: &str| match (name, found) {
                ("PATH", _) => Some(path.clone()),
                (PYTHON_VARIABLE, Some((python, _))) => Some(OsString::from(python)),
                (VERSION_VARIABLE, Some((_, version))) => Some(OsString::from(version)),
                _ => None,
            };
            find(wanted.map(|text| Version::parse(text).unwrap()), &variable)
        };
        assert_eq!(find(Some("3.12"), Some(("/v/python", "3.12"))), Some("/v/python".into()));
        assert_eq!(find(None, Some(("/v/python", "3.12"))), Some("/v/python".into()));
        assert_eq!(find(Some("3.11"), Some(("/v/python", "3.12"))), Some(bin.path().join("python3.11")));
        assert_eq!(find(None, None), Some(bin.path().join("python3")));
        assert_eq!(find(Some("3.9"), None), None);
    }
}
