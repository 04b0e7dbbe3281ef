//! `flmctl list`.

use clap::{Args, ValueEnum};

use super::{Context, OutputArgs, watch};
use crate::exit::Failure;
use crate::render::{Applications, Executors, Nodes, Render, Sessions};

/// Flags of `flmctl list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListArgs {
    /// What to show; sessions when nothing is said
    #[arg(value_enum)]
    pub noun: Option<Noun>,
    /// Show applications
    #[arg(short, long)]
    pub application: bool,
    /// Show sessions
    #[arg(short, long)]
    pub session: bool,
    /// Show executors
    #[arg(short, long)]
    pub executor: bool,
    /// Show nodes
    #[arg(short, long)]
    pub node: bool,
    /// Go on and print what changes
    #[arg(short, long)]
    pub watch: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Noun {
    /// Services that are known
    #[value(aliases = ["applications", "app", "apps"])]
    Application,
    /// Groups of tasks
    #[value(aliases = ["sessions", "ssn"])]
    Session,
    /// Workers
    #[value(aliases = ["nodes", "worker", "workers"])]
    Node,
    /// Service processes on workers
    #[value(aliases = ["executors"])]
    Executor,
}

impl ListArgs {
    /// The first flag that is set, in the published order; else the word; else sessions.
    fn noun(self) -> Noun {
        match (self.application, self.session, self.executor, self.node) {
            (true, ..) => Noun::Application,
            (_, true, ..) => Noun::Session,
            (_, _, true, _) => Noun::Executor,
            (.., true) => Noun::Node,
            _ => self.noun.unwrap_or(Noun::Session),
        }
    }
}

pub(super) async fn run(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    match args.noun() {
        Noun::Application => show(context, args, || applications(context)).await,
        Noun::Session => show(context, args, || sessions(context)).await,
        Noun::Node => show(context, args, || nodes(context)).await,
        Noun::Executor => show(context, args, || executors(context)).await,
    }
}

async fn show<T, F>(context: &Context, args: &ListArgs, read: impl Fn() -> F) -> Result<(), Failure>
where
    T: Render,
    F: Future<Output = Result<T, Failure>>,
{
    if args.watch {
        watch::run(context, args.output.format, read).await
    } else {
        context.show(&read().await?, args.output.format).map(|_| ())
    }
}

async fn applications(context: &Context) -> Result<Applications, Failure> {
    Ok(Applications::new(context.connection.list_applications(None).await?))
}

async fn sessions(context: &Context) -> Result<Sessions, Failure> {
    let connection = &context.connection;
    let (sessions, executors) = futures::try_join!(connection.list_sessions(None, None), connection.list_executors())?;
    Ok(Sessions::new(sessions, &executors))
}

async fn nodes(context: &Context) -> Result<Nodes, Failure> {
    Ok(Nodes::new(context.connection.list_nodes().await?))
}

async fn executors(context: &Context) -> Result<Executors, Failure> {
    Ok(Executors::new(context.connection.list_executors().await?))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn the_first_flag_wins_and_nothing_means_sessions() {
        let noun = |line: &str| match Cli::parse_from(line.split(' ')).command {
            Some(Command::List(args)) => args.noun(),
            other => panic!("{other:?}"),
        };
        assert_eq!(noun("flmctl list"), Noun::Session);
        assert_eq!(noun("flmctl list node"), Noun::Node);
        assert_eq!(noun("flmctl list -n -e"), Noun::Executor);
        assert_eq!(noun("flmctl list -n -e -s -a"), Noun::Application);
    }
}
