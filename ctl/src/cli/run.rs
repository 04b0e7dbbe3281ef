//! From the command line to an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Cli, Command, Context, GlobalArgs, cache, cancel, close, cluster, completion, create, delete, deploy,
    explain_error, list, logs, node, object, proxy, register, suspend, task, unregister, update, view,
};
use crate::dev;
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::Format;

/// The grammar, for help texts and completion.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs `flmctl`.
pub async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error),
    };
    let Some(command) = cli.command else {
        let help = Cli::command().render_help().to_string();
        return finish(print(&help).map(|_| ()), Format::Table);
    };
    let format = command.format();
    let result = match command {
        // It handles Ctrl-C itself: its daemons must end first.
        Command::Dev(args) => dev::run(args, &cli.global).await,
        // So does it: that is its proper end.
        Command::Proxy(args) => proxy::run(&args, &cli.global).await,
        command => interruptible(dispatch(command, &cli.global)).await,
    };
    finish(result, format)
}

async fn dispatch(command: Command, global: &GlobalArgs) -> Result<(), Failure> {
    if let Command::Cluster(args) = &command
        && let Some(done) = args.run_offline().await
    {
        return done;
    }
    match command {
        Command::Completion(args) => return completion::run(&args),
        Command::Dev(args) => return dev::run(args, global).await,
        Command::Proxy(args) => return proxy::run(&args, global).await,
        Command::ExplainError(args) => return explain_error::run(args, global),
        _ => {}
    }
    let context = Context::open(global)?;
    match command {
        Command::List(args) => list::run(&context, &args).await,
        Command::View(args) => view::run(&context, &args).await,
        Command::Create(args) => create::run(&context, *args).await,
        Command::Close(args) => close::run(&context, &args).await,
        Command::Suspend(args) => suspend::suspend(&context, &args).await,
        Command::Resume(args) => suspend::resume(&context, &args).await,
        Command::Cancel(args) => cancel::run(&context, &args).await,
        Command::Delete(args) => delete::run(&context, &args).await,
        Command::Register(args) => register::run(&context, &args).await,
        Command::Update(args) => update::run(&context, &args).await,
        Command::Unregister(args) => unregister::run(&context, &args).await,
        Command::Cluster(args) => cluster::run(&context, &args).await,
        Command::Node(args) => node::run(&context, &args).await,
        Command::Cache(args) => cache::run(&context, &args).await,
        Command::Object(args) => object::run(&context, &args, global).await,
        Command::Task(args) => task::run(&context, &args).await,
        Command::Logs(args) => logs::run(&context, &args).await,
        Command::Deploy(args) => deploy::run(&context, *args, global).await,
        Command::Completion(_) | Command::Dev(_) | Command::ExplainError(_) | Command::Proxy(_) => Ok(()),
    }
}

/// Runs until done or until the user has had enough.
async fn interruptible(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        _ = terminate.recv() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

fn finish(result: Result<(), Failure>, format: Format) -> ExitCode {
    match result {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            note(&if format == Format::Json { failure.json() } else { failure.text("flmctl") });
            failure.exit.into()
        }
    }
}

/// Help and version go to stdout and are fine; anything else is a usage error.
pub(crate) fn told_by_clap(error: &clap::Error) -> ExitCode {
    // A reader that has gone does not want the help text.
    let _unread = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn published_command_lines_are_understood() {
        for line in [
            "list -a",
            "list -s",
            "list -e",
            "list -n",
            "list",
            "list session",
            "list application",
            "list node",
            "list executor",
            "view -a x",
            "view -s x",
            "view -s x -t 1",
            "view -n x",
            "view -s x -o json",
            "view -s x --output-format json",
            "create -a x",
            "create --app x -p 3 -r cpu=1,mem=1g",
            "close -s x",
            "close --session x",
            "register -f x.yaml",
            "register --file x.yaml",
            "update -a x.yaml",
            "unregister -a x",
            "completion bash",
            "--config f list -a",
            "list -a --config f",
            "list -s -w",
            "list --endpoint a:1 --endpoint b:2 -o yaml",
            "close -s x --force",
            "cancel -s x -t 1",
            "suspend -s x",
            "resume -s x",
            "delete -s x",
            "cluster status",
            "cluster members -o json",
            "cluster transfer-leader --to 2",
            "cluster add 4 --peer h:8082",
            "cluster add 4 --peer h:8082 --client h:8080 --worker h:8081 --promote --wait 5m --force -o json",
            "cluster promote 4 --dry-run",
            "cluster remove 3 --force",
            "cluster replace 3 4 --peer h:8082",
            "cluster backup b.flame",
            "cluster backup b.flame --from 2 --force --stale -o json",
            "cluster backup b.flame --verify --scratch /tmp",
            "cluster restore b.flame --coordinator-config c.yaml --data-dir d",
            "cluster recover --force-new --data-dir d --yes",
            "cluster recover --force-new --coordinator-config c.yaml --dry-run -o yaml",
            "cluster events",
            "cluster events -n 5 -w -o json",
            "node list",
            "node list -w",
            "node view w1 -o yaml",
            "node cordon w1",
            "node uncordon w1",
            "node drain w1",
            "node drain w1 --no-wait",
            "node drain w1 --timeout 5m",
            "cache list",
            "cache list -w -o json",
            "object list",
            "object list app/shared -o yaml",
            "object list app/* -w",
            "object put app/shared/model f",
            "object put app/s f --no-replace --cache-endpoint grpc://a -o json",
            "object get app/shared/model",
            "object get app/shared/model f -o yaml",
            "object delete app/*",
            "task explain s/7",
            "task explain s/7 -o json",
            "deploy --name a --application d",
            "deploy --name a --application d.tar.gz --dry-run -o yaml --shim Host --image i --description d --label x --label y",
            "deploy --name a --application d --command c --argument -v --argument=--x --env A=b --working-directory /w",
            "deploy --name a --application d --max-instances 3 --delay-release 60 --installer python --output json",
            "deploy --name a --application d --schema-input {} --schema-output {} --schema-common-data {}",
            "deploy --name a --application d --cache-endpoint grpc://a,grpc://b",
            "logs install a",
            "logs install a --node w1 -o json",
            "proxy",
            "proxy --listen 127.0.0.1:8080 -o json",
            "proxy --listen 0.0.0.0:8080 --insecure --endpoint a:1 --endpoint b:2",
            "dev",
            "dev --nodes 5 --workers 2 --data d --detach",
            "dev kill leader",
            "dev kill 2",
            "dev start 2 --data d",
            "dev stop",
            "dev status",
            "explain-error 13 -o json",
        ] {
            let words = std::iter::once("flmctl").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
