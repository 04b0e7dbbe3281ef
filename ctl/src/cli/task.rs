//! `flmctl task`: questions about one task.

use clap::{Args, Subcommand};
use flame_types::TaskNo;

use super::view::look_in_session;
use super::{Context, OutputArgs};
use crate::exit::Failure;
use crate::render::{ExplanationView, Format};

/// Verbs of `flmctl task`.
#[derive(Clone, Debug, Args)]
pub struct TaskArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TaskCommand,
}

/// What can be asked of a task.
#[derive(Clone, Debug, Subcommand)]
pub enum TaskCommand {
    /// Say why a task does not run, also for each node; where it runs, or how it ended
    Explain {
        /// Which task: its session and its number, like crawler-Ab12Cd/7
        #[arg(value_name = "SESSION/NUMBER", value_parser = parse_path)]
        task: TaskPath,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// A task of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPath {
    /// The session.
    pub session: String,
    /// The number of the task.
    pub task: TaskNo,
}

impl TaskArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        let TaskCommand::Explain { output, .. } = &self.command;
        output.format
    }
}

pub(super) async fn run(context: &Context, args: &TaskArgs) -> Result<(), Failure> {
    let TaskCommand::Explain { task: TaskPath { session, task }, output } = &args.command;
    let explanation = context.connection.explain_task(session, *task).await;
    let explanation = explanation.map_err(|error| look_in_session(error.into(), session))?;
    context.show(&ExplanationView(explanation), output.format).map(|_| ())
}

fn parse_path(text: &str) -> Result<TaskPath, String> {
    let wrong = || format!("{text:?} is no task; write it like SESSION/NUMBER");
    let (session, task) = text.rsplit_once('/').filter(|(session, _)| !session.is_empty()).ok_or_else(wrong)?;
    let task: u64 = task.parse().ok().filter(|task| *task > 0).ok_or_else(wrong)?;
    Ok(TaskPath { session: session.to_owned(), task: TaskNo(task) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_session_and_a_number() {
        let path = |session: &str, task| Ok(TaskPath { session: session.to_owned(), task: TaskNo(task) });
        assert_eq!(parse_path("s/7"), path("s", 7));
        assert_eq!(parse_path("crawler-Ab12Cd/18446744073709551615"), path("crawler-Ab12Cd", u64::MAX));
        for wrong in ["s", "s/", "/7", "s/0", "s/x", "s/-1", "", "7/s"] {
            assert!(parse_path(wrong).is_err_and(|why| why.contains("SESSION/NUMBER")), "{wrong}");
        }
    }
}
