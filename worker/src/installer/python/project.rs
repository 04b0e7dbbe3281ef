//! What a project says about itself, and whether anything of it must be built or fetched.
//!
//! A project of plain modules without dependencies needs neither uv nor pip nor a network: its folder is where its modules
//! are. Whatever is not certain to be one is installed by a tool.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Build tools that do nothing but copy modules, unless a project tells them more.
const COPYING_BACKENDS: &[&str] = &[
    "setuptools.build_meta",
    "setuptools.build_meta:__legacy__",
    "hatchling.build",
    "flit_core.buildapi",
    "pdm.backend",
    "uv_build",
];

/// Settings of those tools by which they do more: modules that lie elsewhere, or are made.
const MORE_THAN_COPYING: &[&str] =
    &["package-dir", "ext-modules", "sources", "force-include", "hooks", "where", "build", "module-root", "cmdclass"];

/// Fields that, left to a tool, only that tool knows.
const NEEDED_FIELDS: &[&str] = &["version", "dependencies", "scripts", "gui-scripts", "entry-points"];

/// Folders of modules, relative to the project.
const MODULE_FOLDERS: &[&str] = &[".", "src"];

/// Largest description of a project.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a project needs to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Project {
    /// Nothing but that its modules are found.
    Plain(Plain),
    /// A tool that builds it, and fetches what it depends on.
    Built,
}

/// A project of plain modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Its name and version, if it has them.
    pub(crate) identity: Option<(String, String)>,
    /// Commands that it offers.
    pub(crate) scripts: Vec<Script>,
    /// Where its modules are, relative to it.
    pub(crate) module_folders: Vec<PathBuf>,
}

/// A command: a function of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) module: String,
    pub(crate) function: String,
}

impl Project {
    /// Reads what lies in a folder. The error says what is missing or wrong.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let has = |name: &str| folder.join(name).is_file();
        if !["pyproject.toml", "setup.py", "setup.cfg"].into_iter().any(has) {
            return Err("it has neither pyproject.toml nor setup.py nor setup.cfg".to_owned());
        }
        if has("setup.py") || has("setup.cfg") {
            return Ok(Self::Built);
        }
        let path = folder.join("pyproject.toml");
        let size = std::fs::metadata(&path).map_err(|error| format!("pyproject.toml: {error}"))?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!("pyproject.toml has {size} bytes, at most {FILE_BYTES_MAX} are read"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| format!("pyproject.toml: {error}"))?;
        let table = text.parse::<Table>().map_err(|error| format!("pyproject.toml: {error}"))?;
        let module_folders = MODULE_FOLDERS.iter().map(PathBuf::from);
        let module_folders = module_folders.filter(|inner| folder.join(inner).is_dir()).collect();
        Ok(Self::of(&table, module_folders))
    }

    fn of(table: &Table, module_folders: Vec<PathBuf>) -> Self {
        let project = table.get("project").and_then(Value::as_table);
        let backend = table.get("build-system").and_then(|system| system.get("build-backend"));
        let copies = match backend {
            Some(backend) => backend.as_str().is_some_and(|name| COPYING_BACKENDS.contains(&name)),
            // The rules of Python packaging: setuptools.
            None => true,
        };
        let is_told_more = table.get("tool").is_some_and(|tools| {
            ["setuptools", "hatch", "flit", "pdm", "uv", "poetry"]
                .iter()
                .filter_map(|name| tools.get(name))
                .any(|tool| mentions(tool, MORE_THAN_COPYING))
        });
        let is_poetry = table.get("tool").is_some_and(|tools| tools.get("poetry").is_some());
        if !copies || is_told_more || is_poetry {
            return Self::Built;
        }
        let Some(project) = project else {
            // Settings of other tools, and no project to build.
            return match table.get("build-system") {
                Some(_) => Self::Built,
                None => Self::Plain(Plain { identity: None, scripts: Vec::new(), module_folders }),
            };
        };
        let left_to_the_tool = |field: &Value| field.as_str().is_some_and(|name| NEEDED_FIELDS.contains(&name));
        let is_dynamic = array(project, "dynamic").iter().any(left_to_the_tool);
        let has_dependencies = !array(project, "dependencies").is_empty();
        let has_entry_points = ["entry-points", "gui-scripts"].iter().any(|key| project.contains_key(*key));
        let scripts = project.get("scripts").and_then(Value::as_table).map(scripts).unwrap_or(Some(Vec::new()));
        match scripts {
            Some(scripts) if !is_dynamic && !has_dependencies && !has_entry_points => {
                let text = |key: &str| project.get(key).and_then(Value::as_str).map(str::to_owned);
                let identity =
                    text("name").zip(text("version")).filter(|(name, version)| is_name(name) && is_name(version));
                Self::Plain(Plain { identity, scripts, module_folders })
            }
            _ => Self::Built,
        }
    }
}

fn array<'a>(table: &'a Table, key: &str) -> &'a [Value] {
    table.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The commands; none when one of them is not a function of a module.
fn scripts(table: &Table) -> Option<Vec<Script>> {
    let script = |(name, target): (&String, &Value)| {
        let (module, function) = target.as_str()?.split_once(':')?;
        let (module, function) = (module.trim(), function.trim());
        let is_fine = is_name(name) && is_dotted(module) && is_dotted(function);
        is_fine.then(|| Script { name: name.clone(), module: module.to_owned(), function: function.to_owned() })
    };
    table.iter().map(script).collect()
}

/// Whether a key of this name stands anywhere in it.
fn mentions(value: &Value, keys: &[&str]) -> bool {
    match value {
        Value::Table(table) => table.iter().any(|(key, value)| {
            let is_known_place = key == "where" && is_known_place(value);
            keys.contains(&key.as_str()) && !is_known_place || mentions(value, keys)
        }),
        Value::Array(items) => items.iter().any(|item| mentions(item, keys)),
        _ => false,
    }
}

/// Whether modules are looked for where they are found without it.
fn is_known_place(value: &Value) -> bool {
    let places = value.as_array().map(Vec::as_slice).unwrap_or_default();
    places.iter().all(|place| place.as_str().is_some_and(|place| MODULE_FOLDERS.contains(&place)))
}

/// Whether the text can be the name of a file.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    !text.is_empty() && text.len() <= 128 && !text.starts_with(['.', '-']) && text.chars().all(allowed)
}

/// Whether the text is names of Python with dots between.
fn is_dotted(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        Project::of(&text.parse().unwrap(), vec![".".into()])
    }

    fn is_built(text: &str) -> bool {
        project(text) == Project::Built
    }

    #[test]
    fn the_project_of_a_runner_needs_nothing() {
        let text = "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n\
                    [project]\nname = 'a'\nversion = '0.1.0'\nrequires-python = '>=3.9'\ndependencies = []\n\
                    [tool.setuptools]\npy-modules = []\n";
        let Project::Plain(plain) = project(text) else { panic!("nothing is to be built") };
        assert_eq!(plain.identity, Some(("a".to_owned(), "0.1.0".to_owned())));
        assert!(plain.scripts.is_empty());
    }

    #[test]
    fn commands_are_functions_of_modules() {
        let Project::Plain(plain) = project("[project]\nname = 'a'\n[project.scripts]\nserve = 'a.b:C.main'\n") else {
            panic!("nothing is to be built")
        };
        let script = Script { name: "serve".into(), module: "a.b".into(), function: "C.main".into() };
        assert_eq!((plain.identity, plain.scripts), (None, vec![script]));
        assert!(is_built("[project.scripts]\n'../x' = 'a:b'\n"));
        assert!(is_built("[project.scripts]\nx = \"a:b; import os\"\n"));
    }

    #[test]
    fn what_depends_or_is_built_needs_a_tool() {
        for text in [
            "[project]\nname = 'a'\ndependencies = ['numpy']\n",
            "[project]\nname = 'a'\ndynamic = ['dependencies']\n",
            "[project]\nname = 'a'\ndynamic = ['version']\n",
            "[project.entry-points.x]\na = 'b:c'\n",
            "[build-system]\nbuild-backend = 'maturin'\n[project]\nname = 'a'\n",
            "[build-system]\nrequires = []\n",
            "[project]\nname = 'a'\n[tool.setuptools.package-dir]\n'' = 'lib'\n",
            "[project]\nname = 'a'\n[tool.setuptools.packages.find]\nwhere = ['lib']\n",
            "[tool.poetry]\nname = 'a'\n",
        ] {
            assert!(is_built(text), "{text}");
        }
        assert!(!is_built("[project]\nname = 'a'\n[tool.setuptools.packages.find]\nwhere = ['src']\n"));
        assert!(!is_built("[tool.ruff]\nline-length = 100\n"));
        assert!(!is_built("[project]\nname = 'a'\ndynamic = ['readme']\n"));
    }

    #[test]
    fn a_folder_without_a_project_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Project::read(folder.path()).unwrap_err().contains("neither pyproject.toml nor"));
        std::fs::write(folder.path().join("pyproject.toml"), "[project\n").unwrap();
        assert!(Project::read(folder.path()).unwrap_err().contains("pyproject.toml: "));
        std::fs::write(folder.path().join("pyproject.toml"), "[project]\nname = 'a'\n").unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        let Ok(Project::Plain(plain)) = Project::read(folder.path()) else { panic!("nothing is to be built") };
        assert_eq!(plain.module_folders, [Path::new("."), Path::new("src")]);
        std::fs::write(folder.path().join("setup.py"), "").unwrap();
        assert_eq!(Project::read(folder.path()), Ok(Project::Built));
    }
}
