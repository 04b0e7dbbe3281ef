//! What a service finds in its environment because of its installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::{Kind, VERSION_VARIABLE};
use super::python::Interpreter;
use super::python::install::{DEPS, SRC};
use super::python::version::Version;
use super::release::Release;

/// Names the folder of the unpacked package.
const APP_DIR_VARIABLE: &str = "FLAME_APP_DIR";

/// Names the interpreter that the worker has found.
pub(crate) const PYTHON_VARIABLE: &str = "FLAME_PYTHON";

/// What an application has here. While it is there, its release stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installed {
    /// Variables that the service gets, whatever its application says.
    set: BTreeMap<String, String>,
    /// Folders that come before those of a list of folders.
    first: BTreeMap<&'static str, Vec<PathBuf>>,
    release: Option<Release>,
}

/// The Python of an installation.
pub(crate) struct Python<'a> {
    pub(crate) version: Version,
    pub(crate) interpreter: Option<&'a Interpreter>,
    /// `FLAME_HOME`, which may have modules for all applications.
    pub(crate) home: Option<&'a Path>,
    /// Of uv and pip.
    pub(crate) caches: BTreeMap<String, String>,
}

impl Installed {
    /// A package that was unpacked, or none.
    pub(crate) fn binary(release: Option<Release>) -> Self {
        let mut installed = Self::default();
        if let Some(release) = &release {
            let src = release.folder.join(SRC);
            installed.put("PATH", vec![src.join("bin"), src.clone()]);
            installed.put("LD_LIBRARY_PATH", existing([src.join("libs"), src.join("lib")]));
            installed.set.insert(APP_DIR_VARIABLE.into(), src.display().to_string());
        }
        Self { release, ..installed }
    }

    /// A project that was installed, or the modules of this host alone.
    pub(crate) fn python(release: Option<Release>, python: Python<'_>) -> Self {
        let mut installed = Self { set: python.caches, ..Self::default() };
        let mut modules = Vec::new();
        if let Some(Release { folder, record, .. }) = &release {
            let inside = |inner: &PathBuf| clean(&folder.join(inner));
            modules.push(folder.join(DEPS));
            modules.extend(record.module_dirs.iter().map(inside));
            installed.put("PATH", vec![folder.join(DEPS).join("bin")]);
            installed.put("LD_LIBRARY_PATH", record.library_dirs.iter().map(inside).collect());
            installed.set.insert(APP_DIR_VARIABLE.into(), folder.join(SRC).display().to_string());
        }
        let shared = python.home.map(|home| home.join(format!("lib/python{}/site-packages", python.version)));
        modules.extend(existing(shared));
        installed.put("PYTHONPATH", modules);
        installed.set.insert(VERSION_VARIABLE.into(), python.version.to_string());
        if let Some(interpreter) = python.interpreter {
            installed.set.insert(PYTHON_VARIABLE.into(), interpreter.path.display().to_string());
        }
        Self { release, ..installed }
    }

    fn put(&mut self, variable: &'static str, folders: Vec<PathBuf>) {
        if !folders.is_empty() {
            self.first.insert(variable, folders);
        }
    }

    /// Adds all this to the variables of an application. `of_worker` is what it has of variables that the application
    /// does not set.
    pub(crate) fn apply(&self, variables: &mut BTreeMap<String, String>, of_worker: &BTreeMap<String, String>) {
        for (name, folders) in &self.first {
            let mut text: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            // Of the programs of the worker nothing is taken away; of its modules nothing is given to an application
            // that names its own.
            let of_application = variables.get(*name);
            let of_worker = of_worker.get(*name).filter(|_| of_application.is_none() || *name != "PYTHONPATH");
            text.extend(of_application.into_iter().chain(of_worker).filter(|text| !text.is_empty()).cloned());
            variables.insert((*name).to_owned(), text.join(":"));
        }
        variables.extend(self.set.clone());
    }

    /// Whether both are the same release, or none.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let folder = |installed: &Self| installed.release.as_ref().map(|release| release.folder.clone());
        folder(self) == folder(other) && self.set == other.set
    }
}

/// What a release is called beside its checksum.
pub(crate) fn variant(kind: Kind, version: Option<Version>) -> String {
    match version {
        Some(version) => format!("python{version}"),
        None => kind.to_string(),
    }
}

/// Those that are folders.
fn existing(folders: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

/// Without components that mean nothing.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_installed_comes_first() {
        let first = BTreeMap::from([("PATH", vec!["/r/bin".into()]), ("PYTHONPATH", vec!["/r/deps".into()])]);
        let installed = Installed { first, set: variables(&[("FLAME_PYTHON_VERSION", "3.12")]), release: None };
        let worker = variables(&[("PATH", "/bin"), ("PYTHONPATH", "/w")]);
        let mut set = variables(&[("PATH", "/a"), ("FLAME_PYTHON_VERSION", "python3.12")]);
        installed.apply(&mut set, &worker);
        assert_eq!(set["PATH"], "/r/bin:/a:/bin");
        assert_eq!((set["PYTHONPATH"].as_str(), set["FLAME_PYTHON_VERSION"].as_str()), ("/r/deps:/w", "3.12"));
        let mut set = variables(&[("PYTHONPATH", "/a")]);
        installed.apply(&mut set, &worker);
        assert_eq!(set["PYTHONPATH"], "/r/deps:/a");
    }

    #[test]
    fn modules_of_the_host_serve_an_application_without_package() {
        let home = tempfile::tempdir().unwrap();
        let modules = home.path().join("lib/python3.12/site-packages");
        std::fs::create_dir_all(&modules).unwrap();
        let of = |version: &str| {
            let version = Version::parse(version).unwrap();
            let caches = BTreeMap::new();
            let python = Python { version, interpreter: None, home: Some(home.path()), caches };
            let mut set = BTreeMap::new();
            Installed::python(None, python).apply(&mut set, &BTreeMap::new());
            set
        };
        assert_eq!(of("3.12").get("PYTHONPATH"), Some(&modules.display().to_string()));
        assert_eq!(of("3.11"), variables(&[("FLAME_PYTHON_VERSION", "3.11")]));
    }
}
