//! Which program runs a script.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::job::{Job, Language};

/// The shells that may be asked for.
const SHELLS: [&str; 7] = ["sh", "bash", "zsh", "csh", "tcsh", "ksh", "fish"];

const SHELL_DEFAULT: &str = "bash";

/// Where shells may be named with their folder, and are looked for when `PATH` does not lead to them.
const SHELL_FOLDERS: [&str; 2] = ["/bin", "/usr/bin"];

/// The version that uv is asked for when nothing names one and none is installed.
const PYTHON_DEFAULT: &str = "3.12";

/// How the program that stands in for uv begins what it says of its version.
const STAND_IN: &str = "flame-uv";

/// A program and its arguments, the script's file included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// Where this worker has its programs.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools {
    /// The folders of `PATH`, in their order.
    folders: Vec<PathBuf>,
    /// `FLAME_PYTHON_VERSION`.
    python: Option<String>,
    /// Looked for once.
    uv: OnceLock<Option<PathBuf>>,
}

impl Tools {
    /// Those that the environment of this process names: `${FLAME_HOME}/bin`, which holds what ships with Flame, then
    /// `PATH`.
    pub(super) fn of_process() -> Self {
        let home = env::var_os("FLAME_HOME").map(|home| Path::new(&home).join("bin"));
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = home.into_iter().chain(env::split_paths(&path)).filter(|folder| folder.is_absolute());
        let python = env::var("FLAME_PYTHON_VERSION").ok().filter(|version| !version.trim().is_empty());
        Self { folders: folders.collect(), python, uv: OnceLock::new() }
    }

    /// How this job is run.
    ///
    /// # Errors
    /// What is not there, or must not be asked for.
    pub(super) fn command(&self, job: &Job) -> Result<CommandLine, String> {
        match job.language {
            Language::Shell => self.shell(job.runtime.as_deref()),
            Language::Python => self.python(job.runtime.as_deref()),
        }
    }

    fn shell(&self, runtime: Option<&str>) -> Result<CommandLine, String> {
        let asked = runtime.unwrap_or(SHELL_DEFAULT);
        let (folder, name) = match asked.rsplit_once('/') {
            Some((folder, name)) => (Some(folder), name),
            None => (None, asked),
        };
        if !SHELLS.contains(&name) || folder.is_some_and(|folder| !SHELL_FOLDERS.contains(&folder)) {
            let (names, folders) = (SHELLS.join(" "), SHELL_FOLDERS.join(" or "));
            return Err(format!(
                "the shell {asked:?} may not be asked for; take one of {names}, bare or below {folders}"
            ));
        }
        let found = match folder {
            Some(_) => Some(PathBuf::from(asked)).filter(|path| is_program(path)),
            None => self.find(name).or_else(|| {
                let mut usual = SHELL_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
                usual.find(|path| is_program(path))
            }),
        };
        let program = found.ok_or_else(|| format!("there is no shell {asked} on this worker"))?;
        Ok(CommandLine { program, arguments: vec![Language::Shell.file().into()] })
    }

    /// With uv, which fetches what is not installed, if it is there; else what is installed.
    fn python(&self, runtime: Option<&str>) -> Result<CommandLine, String> {
        let version = runtime.or(self.python.as_deref()).map(python_version).transpose()?;
        if let Some(uv) = self.uv.get_or_init(|| self.find_uv()).clone() {
            let newest = || self.newest_python().unwrap_or_else(|| PYTHON_DEFAULT.to_owned());
            let version = version.map_or_else(newest, str::to_owned);
            let words = ["run", "--quiet", "--no-project", "--python", &version, Language::Python.file()];
            return Ok(CommandLine { program: uv, arguments: words.map(OsString::from).to_vec() });
        }
        let program = match version {
            Some(version) => self.find(&format!("python{version}")).ok_or_else(|| {
                format!("Python {version} is not installed on this worker, and uv, which could fetch it, is not either")
            })?,
            None => {
                let newest = || self.find(&format!("python{}", self.newest_python()?));
                let found = self.find("python3").or_else(newest);
                found.ok_or("neither Python nor uv is installed on this worker")?
            }
        };
        Ok(CommandLine { program, arguments: vec![Language::Python.file().into()] })
    }

    /// The first uv that is one: what stands in for it knows no more of interpreters than is known here.
    fn find_uv(&self) -> Option<PathBuf> {
        let all = self.folders.iter().map(|folder| folder.join("uv")).filter(|path| is_program(path));
        all.into_iter().find(|uv| {
            let said = Command::new(uv).arg("--version").stdin(Stdio::null()).output();
            !said.is_ok_and(|said| said.stdout.starts_with(STAND_IN.as_bytes()))
        })
    }

    /// The first program of this name.
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path))
    }

    /// The highest `3.N` for which there is a `python3.N`.
    fn newest_python(&self) -> Option<String> {
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let minor = |entry: fs::DirEntry| {
            let minor: u32 = entry.file_name().to_str()?.strip_prefix("python3.")?.parse().ok()?;
            is_program(&entry.path()).then_some(minor)
        };
        entries.filter_map(minor).max().map(|minor| format!("3.{minor}"))
    }
}

/// A version as people write it: `3.12`, `python3.12`, `pypy3.10`. It becomes a word of a command, never a flag or a path.
fn python_version(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let version = text.strip_prefix("python").unwrap_or(text);
    let is_version = version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'));
    is_version.then_some(version).ok_or_else(|| format!("{text:?} is no version of Python; write it like 3.12"))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders with these programs in them, one folder each.
    fn tools(programs: &[&str], python: Option<&str>) -> (tempfile::TempDir, Tools) {
        let place = tempfile::tempdir().unwrap();
        let folders = programs.iter().enumerate().map(|(at, program)| {
            let folder = place.path().join(at.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(program), "").unwrap();
            fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
            folder
        });
        let tools = Tools { folders: folders.collect(), python: python.map(str::to_owned), ..Tools::default() };
        (place, tools)
    }

    /// The words of the command, the program without its folder.
    fn words(tools: &Tools, language: Language, runtime: Option<&str>) -> Result<String, String> {
        let runtime = runtime.map(str::to_owned);
        let job = Job { language, runtime, code: String::new(), input: Vec::new(), timeout: None };
        let CommandLine { program, arguments } = tools.command(&job)?;
        let words = program.file_name().into_iter().chain(arguments.iter().map(OsString::as_os_str));
        Ok(words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn uv_gets_the_version_that_says_most() {
        let uv = |version| Ok(format!("uv run --quiet --no-project --python {version} main.py"));
        let (_place, all) = tools(&["python3.9", "python3.11", "python3.11-config", "uv"], Some("3.10"));
        assert_eq!(words(&all, Language::Python, Some("3.13")), uv("3.13"));
        assert_eq!(words(&all, Language::Python, Some("python3.13")), uv("3.13"));
        assert_eq!(words(&all, Language::Python, None), uv("3.10"));
        let unset = Tools { python: None, ..all };
        assert_eq!(words(&unset, Language::Python, None), uv("3.11"), "the newest one, as a number");
        let (_place, bare) = tools(&["uv"], None);
        assert_eq!(words(&bare, Language::Python, None), uv("3.12"));
    }

    #[test]
    fn what_stands_in_for_uv_is_not_taken_for_it() {
        let (place, tools) = tools(&["uv", "python3"], None);
        fs::write(place.path().join("0/uv"), "#!/bin/sh\necho flame-uv 0.1.0\n").unwrap();
        assert_eq!(words(&tools, Language::Python, None).unwrap(), "python3 main.py");
    }

    #[test]
    fn without_uv_only_what_is_installed_runs() {
        let (_place, some) = tools(&["python3.9", "python3.11", "python3"], None);
        assert_eq!(words(&some, Language::Python, None).unwrap(), "python3 main.py");
        assert_eq!(words(&some, Language::Python, Some("3.9")).unwrap(), "python3.9 main.py");
        let text = words(&some, Language::Python, Some("3.12")).unwrap_err();
        assert!(text.contains("Python 3.12 is not installed"), "{text}");
        let (_place, one) = tools(&["python3.9"], None);
        assert_eq!(words(&one, Language::Python, None).unwrap(), "python3.9 main.py");
        assert!(words(&Tools::default(), Language::Python, None).unwrap_err().contains("neither"));
        for bad in ["--help", "/usr/bin/python3", "3.12 --x", "python", "../x"] {
            assert!(words(&some, Language::Python, Some(bad)).unwrap_err().contains("no version"), "{bad}");
        }
    }

    #[test]
    fn only_shells_that_are_known_are_run() {
        let (_place, some) = tools(&["bash", "fish"], None);
        assert_eq!(words(&some, Language::Shell, None).unwrap(), "bash main.sh");
        assert_eq!(words(&some, Language::Shell, Some("fish")).unwrap(), "fish main.sh");
        let nowhere = Tools::default();
        assert_eq!(words(&nowhere, Language::Shell, Some("/bin/sh")).unwrap(), "sh main.sh");
        assert_eq!(words(&nowhere, Language::Shell, Some("sh")).unwrap(), "sh main.sh", "where shells usually are");
        for bad in ["python3", "/tmp/bash", "bin/bash", "bash -x", "/bin/../bin/bash", "/usr/local/bin/bash", "-c"] {
            assert!(words(&some, Language::Shell, Some(bad)).unwrap_err().contains("may not be asked for"), "{bad}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let (_place, some) = tools(&["uv", "python3"], None);
        let uv = some.find("uv").unwrap();
        fs::set_permissions(&uv, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(words(&some, Language::Python, None).unwrap(), "python3 main.py");
    }
}
