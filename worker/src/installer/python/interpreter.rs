//! The interpreters of this host. One is asked for its version before it is believed: `python3` is another one on every
//! host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use super::version::Version;

/// Longest time for a program to say its version.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Has an interpreter say its version.
const ASK: &str = "import sys; print('%d.%d' % sys.version_info[:2])";

/// An interpreter and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
}

/// Finds interpreters, and remembers what they have said.
#[derive(Debug)]
pub(crate) struct Interpreters {
    preferred: Option<PathBuf>,
    virtual_environment: Option<PathBuf>,
    path: Vec<PathBuf>,
    home: Option<PathBuf>,
    known: Mutex<BTreeMap<PathBuf, Version>>,
}

impl Interpreters {
    /// `environment` is that of the worker.
    pub(crate) fn new(preferred: Option<PathBuf>, environment: &BTreeMap<String, String>) -> Self {
        let folder = |name: &str| environment.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        Self {
            preferred,
            virtual_environment: folder("VIRTUAL_ENV"),
            path: environment.get("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default(),
            home: folder("FLAME_HOME"),
            known: Mutex::default(),
        }
    }

    /// The first interpreter that is of the wanted version; the first of any, if none is wanted.
    pub(crate) async fn find(&self, wanted: Option<Version>) -> Option<Interpreter> {
        for path in self.candidates(wanted) {
            let Some(version) = self.version_of(&path).await else { continue };
            if wanted.is_none_or(|wanted| wanted == version) {
                return Some(Interpreter { path, version });
            }
        }
        None
    }

    /// The program `uv`: that of `${FLAME_HOME}/bin`, else the first one in `PATH`. What only stands in for it there says
    /// another name.
    pub(crate) async fn uv(&self) -> Option<PathBuf> {
        let beside_services = self.home.iter().map(|home| home.join("bin"));
        for folder in beside_services.chain(self.path.iter().cloned()) {
            let path = folder.join("uv");
            if path.is_file() && ask(&path, &["--version"]).await.is_some_and(|said| said.starts_with("uv ")) {
                return Some(path);
            }
        }
        None
    }

    fn candidates(&self, wanted: Option<Version>) -> Vec<PathBuf> {
        let mut candidates: Vec<PathBuf> = self.preferred.iter().cloned().collect();
        candidates.extend(self.virtual_environment.iter().map(|folder| folder.join("bin/python")));
        let exact = wanted.map(|version| format!("python{version}"));
        for name in exact.iter().map(String::as_str).chain(["python3", "python"]) {
            candidates.extend(self.path.iter().map(|folder| folder.join(name)));
        }
        candidates.retain(|path| path.is_file());
        candidates
    }

    async fn version_of(&self, path: &Path) -> Option<Version> {
        if let Some(version) = self.known().get(path) {
            return Some(*version);
        }
        let version = Version::parse(&ask(path, &["-c", ASK]).await?)?;
        self.known().insert(path.to_owned(), version);
        Some(version)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Version>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a program says on standard output; nothing if it fails.
pub(super) async fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWER_WITHIN, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that says this.
    fn program(folder: &Path, name: &str, says: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(folder).unwrap();
        fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn environment(variables: &[(&str, &Path)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string())).collect()
    }

    #[tokio::test]
    async fn the_wanted_version_is_found_wherever_it_is() {
        let place = tempfile::tempdir().unwrap();
        let (bin, venv) = (place.path().join("bin"), place.path().join("venv"));
        let old = program(&bin, "python3", "3.9");
        let exact = program(&bin, "python3.12", "3.12");
        let of_venv = program(&venv.join("bin"), "python", "3.11");
        let interpreters = Interpreters::new(None, &environment(&[("PATH", &bin), ("VIRTUAL_ENV", &venv)]));
        let found = async |wanted: Option<&str>| {
            let wanted = wanted.map(|text| Version::parse(text).unwrap());
            interpreters.find(wanted).await.map(|found| found.path)
        };
        assert_eq!(found(None).await, Some(of_venv));
        assert_eq!(found(Some("3.12")).await, Some(exact.clone()));
        assert_eq!(found(Some("3.9")).await, Some(old));
        assert_eq!(found(Some("3.10")).await, None);
        let preferring = Interpreters::new(Some(exact.clone()), &environment(&[("PATH", &bin)]));
        assert_eq!(preferring.find(None).await.map(|found| found.path), Some(exact));
    }

    #[tokio::test]
    async fn what_stands_in_for_uv_is_not_uv() {
        let place = tempfile::tempdir().unwrap();
        let (home, bin) = (place.path().join("home"), place.path().join("bin"));
        program(&home.join("bin"), "uv", "flame-uv 0.1.0");
        let interpreters = Interpreters::new(None, &environment(&[("FLAME_HOME", &home), ("PATH", &bin)]));
        assert_eq!(interpreters.uv().await, None);
        let real = program(&bin, "uv", "uv 0.9.1 (abc 2026)");
        assert_eq!(interpreters.uv().await, Some(real));
    }
}
