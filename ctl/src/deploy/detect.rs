//! Which installer a package needs, and which command starts its service, where the user does not say.

use std::path::Path;

use super::source::Source;
use crate::exit::Failure;

/// Largest description of a Python project that is looked into.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the user says.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Name of the application.
    pub name: String,
    /// The installer.
    pub installer: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// The installer.
    pub installer: String,
    /// The command.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Finds out what the user does not say.
///
/// # Errors
/// When nothing, or more than one thing, could be started.
pub fn detect(source: &Source, wanted: &Wanted) -> Result<Detected, Failure> {
    let is_project = ["pyproject.toml", "setup.py", "setup.cfg"].iter().any(|name| source.file(name).is_some());
    let installer = match wanted.installer.as_deref() {
        Some(named) => known(named)?,
        None if is_project => "python",
        None => "binary",
    };
    let arguments = wanted.arguments.clone();
    if let Some(command) = &wanted.command {
        return Ok(Detected { installer: installer.to_owned(), command: command.clone(), arguments });
    }
    let (command, own) = match installer {
        "python" => of_project(source, &wanted.name)?,
        _ => (of_programs(source, &wanted.name)?, Vec::new()),
    };
    Ok(Detected { installer: installer.to_owned(), command, arguments: own.into_iter().chain(arguments).collect() })
}

fn known(installer: &str) -> Result<&'static str, Failure> {
    match installer.to_ascii_lowercase().as_str() {
        "python" => Ok("python"),
        "binary" => Ok("binary"),
        _ => Err(Failure::usage(format!("the installer {installer:?} is not known; write python or binary"))),
    }
}

/// A script of the project that is named like the application, the only one, or the module of that name.
fn of_project(source: &Source, name: &str) -> Result<(String, Vec<String>), Failure> {
    let scripts = scripts(source)?;
    if scripts.iter().any(|script| script == name) {
        return Ok((name.to_owned(), Vec::new()));
    }
    if let [only] = scripts.as_slice() {
        return Ok((only.clone(), Vec::new()));
    }
    let module = name.replace(['-', '.'], "_");
    let is_module = ["", "src/"].iter().any(|root| source.file(&format!("{root}{module}/__main__.py")).is_some());
    if is_module {
        return Ok(("python".to_owned(), vec!["-m".to_owned(), module]));
    }
    let found = if scripts.is_empty() { "no script".to_owned() } else { format!("the scripts {}", scripts.join(", ")) };
    Err(ask(format!("the project has {found}, and no module {module} with a __main__.py")))
}

/// The names in `[project.scripts]`.
fn scripts(source: &Source) -> Result<Vec<String>, Failure> {
    let Some(path) = source.file("pyproject.toml") else { return Ok(Vec::new()) };
    let table = read_toml(path).map_err(|why| Failure::usage(format!("pyproject.toml: {why}")))?;
    let scripts = table.get("project").and_then(|project| project.get("scripts")).and_then(toml::Value::as_table);
    Ok(scripts.map(|scripts| scripts.keys().cloned().collect()).unwrap_or_default())
}

fn read_toml(path: &Path) -> Result<toml::Table, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse::<toml::Table>().map_err(|error| error.to_string())
}

/// The program in `bin` that is named like the application, the only one there, or the only one at the root.
fn of_programs(source: &Source, name: &str) -> Result<String, Failure> {
    let in_bin = source.programs("bin");
    if in_bin.iter().any(|program| program == name) {
        return Ok(name.to_owned());
    }
    let at_root = source.programs("");
    match (in_bin.as_slice(), at_root.as_slice()) {
        ([only], _) | ([], [only]) => Ok(only.clone()),
        ([], []) => Err(ask("there is no program in bin or at the root of the package".to_owned())),
        _ => {
            let programs: Vec<String> = in_bin.iter().map(|name| format!("bin/{name}")).chain(at_root).collect();
            Err(ask(format!("there are several programs: {}", programs.join(", "))))
        }
    }
}

fn ask(why: String) -> Failure {
    Failure::usage(why).hint("say what starts the service with --command, and its arguments with --argument")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is detected for an application named `app` in a folder with these files. Those in bin and those without a dot
    /// are programs.
    fn detected(files: &[(&str, &str)], wanted: Wanted) -> Result<Detected, Failure> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let mode = if name.contains('.') { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        detect(&Source::read(folder.path()).unwrap(), &Wanted { name: "my-app".to_owned(), ..wanted })
    }

    fn check(files: &[(&str, &str)], installer: &str, command: &str, arguments: &[&str]) {
        let expected = Detected {
            installer: installer.to_owned(),
            command: command.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(detected(files, Wanted::default()), Ok(expected), "{files:?}");
    }

    #[test]
    fn programs_are_found() {
        check(&[("bin/my-app", ""), ("bin/other", ""), ("root", "")], "binary", "my-app", &[]);
        check(&[("bin/serve", ""), ("root", "")], "binary", "serve", &[]);
        check(&[("serve", ""), ("README.md", "")], "binary", "serve", &[]);
        for files in [&[("README.md", "")][..], &[("bin/a", ""), ("bin/b", "")], &[("a", ""), ("b", "")]] {
            let failure = detected(files, Wanted::default()).unwrap_err();
            assert!(failure.hint.unwrap().contains("--command"), "{files:?}");
        }
    }

    #[test]
    fn projects_are_found() {
        let scripts = |names: &[&str]| {
            let lines: Vec<String> = names.iter().map(|name| format!("{name} = 'a:b'\n")).collect();
            format!("[project]\nname = 'x'\n[project.scripts]\n{}", lines.concat())
        };
        check(&[("pyproject.toml", &scripts(&["other", "my-app"]))], "python", "my-app", &[]);
        check(&[("pyproject.toml", &scripts(&["serve"]))], "python", "serve", &[]);
        check(&[("setup.py", ""), ("my_app/__main__.py", "")], "python", "python", &["-m", "my_app"]);
        check(&[("setup.py", ""), ("src/my_app/__main__.py", "")], "python", "python", &["-m", "my_app"]);
        let failure = detected(&[("pyproject.toml", &scripts(&["a", "b"]))], Wanted::default()).unwrap_err();
        assert!(failure.message.contains("the scripts a, b"), "{failure}");
        let failure = detected(&[("pyproject.toml", "[project")], Wanted::default()).unwrap_err();
        assert!(failure.message.starts_with("pyproject.toml: "), "{failure}");
    }

    #[test]
    fn what_the_user_says_counts() {
        let wanted = Wanted {
            installer: Some("Binary".to_owned()),
            command: Some("run".to_owned()),
            arguments: vec!["-v".to_owned()],
            ..Wanted::default()
        };
        let found = detected(&[("setup.py", "")], wanted).unwrap();
        assert_eq!((found.installer.as_str(), found.command.as_str()), ("binary", "run"));
        assert_eq!(found.arguments, ["-v"]);
        let wanted = Wanted { arguments: vec!["-v".to_owned()], ..Wanted::default() };
        let found = detected(&[("setup.py", ""), ("my_app/__main__.py", "")], wanted).unwrap();
        assert_eq!(found.arguments, ["-m", "my_app", "-v"]);
        let wanted = Wanted { installer: Some("conda".to_owned()), ..Wanted::default() };
        assert!(detected(&[("a", "")], wanted).unwrap_err().message.contains("write python or binary"));
    }
}
