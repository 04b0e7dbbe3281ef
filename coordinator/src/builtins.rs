//! The applications that ship with Flame. Each is registered by the first leader that knows it, once: whoever
//! unregisters one does not find it back after the next election, nor after an upgrade that brings others.

use flame_machine::command::Command;
use flame_types::{AppName, AppSpec, Schema};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// The edition of this list that brought it. The cluster remembers the highest one that it has.
    pub since: u32,
    /// Its name.
    pub name: AppName,
    /// What is registered.
    pub spec: AppSpec,
}

/// All of them. One that is added comes with an edition of its own.
#[must_use]
pub fn builtins() -> Vec<Builtin> {
    let name = |text| AppName::parse(text).expect("the names below follow the rules");
    let flmping = AppSpec {
        description: Some("Answers at once, or after the time and with the memory its input asks for.".into()),
        command: Some("${FLAME_HOME}/bin/flmping-service".into()),
        ..AppSpec::default()
    };
    let flmexec = AppSpec {
        description: Some("Runs Python and shell scripts.".into()),
        command: Some("${FLAME_HOME}/bin/flmexec-service".into()),
        schema: Some(Schema { input: Some(SCRIPT.into()), output: Some(WRITTEN.into()), common_data: None }),
        ..AppSpec::default()
    };
    let flmrun = AppSpec {
        description: Some(
            "Runs Python functions, classes and objects of a package: the template of flamepy's Runner.".into(),
        ),
        command: Some("${FLAME_HOME}/bin/uv".into()),
        arguments: RUNNER.iter().map(ToString::to_string).collect(),
        installer: Some("python".into()),
        ..AppSpec::default()
    };
    vec![
        Builtin { since: 1, name: name("flmping"), spec: flmping },
        Builtin { since: 2, name: name("flmexec"), spec: flmexec },
        Builtin { since: 3, name: name("flmrun"), spec: flmrun },
    ]
}

/// What brings a cluster that has all editions up to `installed` to the newest one; nothing if it has that.
#[must_use]
pub fn installation(builtins: &[Builtin], installed: u32) -> Option<Command> {
    let news: Vec<_> = builtins.iter().filter(|builtin| builtin.since > installed).collect();
    let version = news.iter().map(|builtin| builtin.since).max()?;
    let apps = news.into_iter().map(|builtin| (builtin.name.clone(), builtin.spec.clone())).collect();
    Some(Command::InstallBuiltins { version, apps })
}

/// How the service of a Runner is started (published, and looked at by the published acceptance test).
const RUNNER: [&str; 6] = ["run", "--python", "python${FLAME_PYTHON_VERSION}", "python", "-m", "flamepy.runner.runpy"];

/// What a task of flmexec takes.
const SCRIPT: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "A script",
  "type": "object",
  "required": ["code"],
  "properties": {
    "language": {"type": "string", "description": "python or shell; as the common data of the session says when absent"},
    "code": {"type": "string"},
    "input": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    "runtime": {"type": ["string", "null"], "description": "a version of Python, or a shell"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "seconds"}
  }
}"#;

/// What it gives.
const WRITTEN: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "What a script that ended with 0 wrote",
  "type": "object",
  "required": ["data", "stderr", "exit_code"],
  "properties": {
    "data": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}, "description": "stdout"},
    "stderr": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    "exit_code": {"type": "integer"}
  }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// The version and the names that a cluster with this edition gets.
    fn gets(installed: u32) -> Option<(u32, Vec<String>)> {
        match installation(&builtins(), installed)? {
            Command::InstallBuiltins { version, apps } => {
                Some((version, apps.into_iter().map(|(name, _)| name.to_string()).collect()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cluster_gets_only_what_is_new_to_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(gets(0), Some((3, names(&["flmping", "flmexec", "flmrun"]))));
        assert_eq!(gets(1), Some((3, names(&["flmexec", "flmrun"]))), "flmping may have been unregistered on purpose");
        assert_eq!(gets(2), Some((3, names(&["flmrun"]))));
        assert_eq!(gets(3), None);
        assert_eq!(gets(7), None, "of a newer release");
    }

    #[test]
    fn the_template_of_the_runner_is_the_published_one() {
        let builtins = builtins();
        let flmrun = &builtins.iter().find(|builtin| builtin.name.as_str() == "flmrun").unwrap().spec;
        assert!(flmrun.command.as_ref().unwrap().ends_with("/bin/uv"));
        assert_eq!(flmrun.arguments[..4], ["run", "--python", "python${FLAME_PYTHON_VERSION}", "python"]);
        assert_eq!(
            (flmrun.installer.as_deref(), &flmrun.url, &flmrun.working_directory),
            (Some("python"), &None, &None)
        );
    }
}
