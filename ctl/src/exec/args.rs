//! What can be typed after `flmexec`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, CommandFactory, Parser, ValueEnum};

use crate::time::parse_span;

/// Run a Python or shell script on the workers of a cluster, and print what it writes.
#[derive(Clone, Debug, Parser)]
#[command(name = "flmexec", version, about, max_term_width = 100)]
#[command(group = ArgGroup::new("script").args(["code", "file"]))]
#[command(group = ArgGroup::new("stdin").args(["input", "input_file"]))]
#[command(
    after_help = "Exit codes: 0 all scripts ended with 0, 1 a script failed, 2 usage, 3 not found, 4 timed out waiting, \
    5 no leader or cluster unreachable, 6 conflict, 7 not allowed, 130 interrupted."
)]
pub struct ExecArgs {
    /// The file that holds the script; - or nothing for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The script itself
    #[arg(short, long, value_name = "CODE")]
    pub code: Option<String>,
    /// What it is written in; shell when not given, and python for a FILE that ends with .py
    #[arg(short, long, value_enum, value_name = "LANGUAGE", ignore_case = true)]
    pub language: Option<ScriptLanguage>,
    /// The version of Python, like 3.12, or the shell: sh, bash, zsh, csh, tcsh, ksh or fish. The newest version that a
    /// worker has, or bash, when not given
    #[arg(short, long, value_name = "RUNTIME")]
    pub runtime: Option<String>,
    /// Text that each script reads from its standard input
    #[arg(short, long, value_name = "TEXT")]
    pub input: Option<String>,
    /// A file with what each script reads from its standard input; - for standard input
    #[arg(long, value_name = "FILE")]
    pub input_file: Option<PathBuf>,
    /// How many times it runs, each as a task of its own
    #[arg(short, long, value_name = "NUMBER", default_value_t = 10)]
    pub task_num: u64,
    /// How long each script may run, like 30s or 2m, before it is killed and its task fails
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub timeout: Option<Duration>,
    /// How long all of it may take, like 30s or 2m; for ever when not given
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub wait: Option<Duration>,
    /// How to print
    #[arg(
        short = 'o',
        long = "output-format",
        visible_alias = "output",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub format: Format,
    /// A coordinator, like http://host:8080; repeat it to name several. Default: FLAME_ENDPOINT (several with commas),
    /// else ~/.flame/flame.yaml, else http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub endpoint: Vec<String>,
    /// The file that names the cluster, instead of ~/.flame/flame.yaml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What the scripts wrote, byte for byte: stdout to stdout, stderr to stderr
    #[default]
    Raw,
    /// One value with all results, their bytes in base64
    Json,
    /// The same as YAML
    Yaml,
}

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScriptLanguage {
    /// bash, or the shell that is named
    Shell,
    /// Python
    Python,
}

impl ScriptLanguage {
    /// As the service reads it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Python => "python",
        }
    }
}

/// The grammar, for help texts.
#[must_use]
pub fn command() -> clap::Command {
    ExecArgs::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_command_lines_are_understood() {
        let line = ["flmexec", "-t", "100", "-c", "print(1)", "-l", "python", "-r", "3.12", "-i", "text"];
        let args = ExecArgs::try_parse_from(line).unwrap();
        assert_eq!((args.task_num, args.code.as_deref(), args.input.as_deref()), (100, Some("print(1)"), Some("text")));
        assert_eq!((args.language, args.runtime.as_deref()), (Some(ScriptLanguage::Python), Some("3.12")));
        assert_eq!(ExecArgs::parse_from(["flmexec", "-c", "ls"]).task_num, 10);
        command().debug_assert();
    }

    #[test]
    fn there_is_one_script_and_one_input() {
        for line in ["flmexec -c x file", "flmexec file -i x --input-file y", "flmexec -l ruby x", "flmexec a b"] {
            assert!(ExecArgs::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert!(ExecArgs::try_parse_from(["flmexec"]).is_ok(), "standard input");
        assert!(ExecArgs::try_parse_from(["flmexec", "-", "-l", "Python"]).is_ok());
    }
}
