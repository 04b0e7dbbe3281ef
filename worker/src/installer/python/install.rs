//! A Python project, installed beside its sources: by uv, else by pip, and by neither where there is nothing to install.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::interpreter::ask;
use super::project::{Plain, Project, Script};
use super::version::Version;
use super::{Interpreter, Interpreters};
use crate::installer::error::{InstallError, disk};
use crate::installer::log::InstallLog;
use crate::installer::plan::Plan;
use crate::installer::tools::{Tool, Tools};

/// Where installed modules and commands go, in a release.
pub(crate) const DEPS: &str = "deps";

/// Where a package is unpacked, in a release.
pub(crate) const SRC: &str = "src";

/// Who installs, and with what.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    /// Of the package, for messages.
    pub(crate) url: String,
    pub(crate) release: &'a Path,
    pub(crate) version: Version,
    pub(crate) interpreter: Option<&'a Interpreter>,
    pub(crate) interpreters: &'a Interpreters,
    pub(crate) tools: &'a Tools,
    /// Of uv and pip: where they keep what they fetch.
    pub(crate) caches: BTreeMap<String, String>,
}

impl Job<'_> {
    /// Installs what lies in `src` into `deps`. Answers where modules are besides, relative to the release.
    pub(crate) async fn run(&self, log: &mut InstallLog) -> Result<Vec<PathBuf>, InstallError> {
        let (src, deps) = (self.release.join(SRC), self.release.join(DEPS));
        name_interpreter(&deps, self.version).map_err(disk(&deps))?;
        let unfit = |why: String| InstallError::Project { url: self.url.clone(), why };
        match Project::read(&src).map_err(unfit)? {
            Project::Plain(plain) => {
                log.say("The project has no dependencies: nothing is fetched, its modules are used where they are.");
                plain.lay_out(&deps, self.version).map_err(disk(&deps))?;
                Ok(plain.module_folders.iter().map(|folder| Path::new(SRC).join(folder)).collect())
            }
            Project::Built => {
                self.build(&src, log).await?;
                Ok(vec![SRC.into()])
            }
        }
    }

    async fn build(&self, src: &Path, log: &mut InstallLog) -> Result<(), InstallError> {
        if let Some(uv) = self.interpreters.uv().await {
            let python = match self.interpreter {
                Some(interpreter) => interpreter.path.clone().into_os_string(),
                // uv looks for one itself, and fetches it if it may.
                None => self.version.to_string().into(),
            };
            let words = ["pip", "install", "--link-mode=copy", "--python"].map(OsString::from);
            let target = ["--target", "../deps", "."].map(OsString::from);
            return self.tool(uv, words.into_iter().chain([python]).chain(target), src, log).await;
        }
        let interpreter = self.interpreter.ok_or(InstallError::NoPython(self.version))?;
        let python = self.python_with_pip(&interpreter.path, log).await?;
        let words = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-warn-script-location"];
        let words = words.into_iter().chain(["--target", "../deps", "."]).map(OsString::from);
        self.tool(python, words, src, log).await
    }

    /// The interpreter itself if it has pip, else one in an environment of its own that has.
    async fn python_with_pip(&self, python: &Path, log: &mut InstallLog) -> Result<PathBuf, InstallError> {
        if ask(python, &["-m", "pip", "--version"]).await.is_some() {
            return Ok(python.to_owned());
        }
        log.say("This Python has no pip; an environment of its own gets it.");
        let folder = self.release.join("pip");
        let words = ["-m".into(), "venv".into(), folder.clone().into_os_string()];
        self.tool(python.to_owned(), words, self.release, log).await?;
        Ok(folder.join("bin/python"))
    }

    async fn tool(
        &self,
        program: PathBuf,
        words: impl IntoIterator<Item = OsString>,
        folder: &Path,
        log: &mut InstallLog,
    ) -> Result<(), InstallError> {
        let (environment, arguments) = (self.caches.clone(), words.into_iter().collect());
        let tool = Tool { program, arguments, environment, folder: folder.to_owned() };
        log.say(&format!("$ {}", tool.shown()));
        let file = log.file().map_err(disk(self.release))?;
        let failed = |how: String| InstallError::Tool {
            command: tool.shown(),
            how,
            application: self.plan.application.to_string(),
            tail: log.tail(),
        };
        self.tools.run(&tool, file).await.map_err(failed)
    }
}

/// `python` and `python3` in front of `PATH`: whoever starts one of them gets the interpreter that was found, with whatever
/// environment it is of. A link would lose that environment.
fn name_interpreter(deps: &Path, version: Version) -> io::Result<()> {
    let bin = deps.join("bin");
    fs::create_dir_all(&bin)?;
    for name in ["python", "python3"] {
        write_program(&bin.join(name), &format!("#!/bin/sh\nexec \"${{FLAME_PYTHON:-python{version}}}\" \"$@\"\n"))?;
    }
    Ok(())
}

fn write_program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

impl Plain {
    /// Writes what an installation of such a project consists of: its commands, and its name and version for
    /// `importlib.metadata`.
    fn lay_out(&self, deps: &Path, version: Version) -> io::Result<()> {
        if !self.scripts.is_empty() {
            let bin = deps.join("bin");
            fs::create_dir_all(&bin)?;
            for script in &self.scripts {
                write_program(&bin.join(&script.name), &script.text(version))?;
            }
        }
        let Some((name, number)) = &self.identity else { return Ok(()) };
        let folder = deps.join(format!("{}-{number}.dist-info", name.replace(['-', '.'], "_")));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("METADATA"), format!("Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"))?;
        fs::write(folder.join("INSTALLER"), "flame-worker\n")
    }
}

impl Script {
    /// The interpreter is the one that the worker has found for the service.
    fn text(&self, version: Version) -> String {
        let Self { name, module, function } = self;
        let first = function.split('.').next().unwrap_or_default();
        format!(
            "#!/bin/sh\nexec \"${{FLAME_PYTHON:-python{version}}}\" -c 'import sys\n\
             from {module} import {first}\nsys.argv[0] = \"{name}\"\nsys.exit({function}())' \"$@\"\n"
        )
    }
}

/// The folders at most `depth` below that hold native libraries, relative to the release, in a fixed order.
pub(crate) fn library_folders(release: &Path) -> io::Result<Vec<PathBuf>> {
    const DEPTH_MAX: usize = 4;
    const FOLDERS_MAX: usize = 64;
    let mut found = Vec::new();
    let mut waiting = vec![(release.join(DEPS), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let mut has_library = false;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                if depth < DEPTH_MAX {
                    waiting.push((entry.path(), depth + 1));
                }
            } else {
                has_library |= is_library(&name.to_string_lossy());
            }
        }
        if has_library {
            found.push(folder.strip_prefix(release).unwrap_or(&folder).to_owned());
        }
    }
    found.sort();
    found.truncate(FOLDERS_MAX);
    Ok(found)
}

/// `libx.so`, `libx.so.1.2`.
fn is_library(name: &str) -> bool {
    name.ends_with(".so") || name.contains(".so.")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_plain_project_has_its_commands_and_its_version() {
        let deps = tempfile::tempdir().unwrap();
        let script = Script { name: "serve".into(), module: "a_module".into(), function: "Main.run".into() };
        let identity = Some(("my-app".to_owned(), "1.2".to_owned()));
        let plain = Plain { identity, scripts: vec![script], module_folders: Vec::new() };
        plain.lay_out(deps.path(), Version::parse("3.12").unwrap()).unwrap();
        let metadata = fs::read_to_string(deps.path().join("my_app-1.2.dist-info/METADATA")).unwrap();
        assert!(metadata.contains("Name: my-app\nVersion: 1.2\n"));
        // A program in place of the interpreter says what it is given.
        let said = Command::new(deps.path().join("bin/serve")).arg("x y").env("FLAME_PYTHON", "/bin/echo").output();
        let said = String::from_utf8(said.unwrap().stdout).unwrap();
        let expected = "import sys\nfrom a_module import Main\nsys.argv[0] = \"serve\"\nsys.exit(Main.run()) x y\n";
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn folders_with_libraries_are_found() {
        let release = tempfile::tempdir().unwrap();
        for path in ["numpy.libs/libblas.so.3", "a/b/c/d/x.so", "a/b/c/d/e/deep.so", "plain/module.py", "top.so"] {
            let path = release.path().join(DEPS).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = library_folders(release.path()).unwrap();
        assert_eq!(found, ["deps", "deps/a/b/c/d", "deps/numpy.libs"].map(PathBuf::from));
    }
}
