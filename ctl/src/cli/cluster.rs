//! `flmctl cluster`.

use clap::{Args, Subcommand};
use flame_types::CoordinatorId;

use super::backup::{self, BackupArgs};
use super::membership::{self, MembershipCommand};
use super::rescue::{self, RecoverArgs, RestoreArgs};
use super::{Context, OutputArgs, events, says, watch};
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::{ClusterStatus, EventList, Format, LevelView, MemberList, Says, Verdict, levels_text};

/// Verbs of `flmctl cluster`.
#[derive(Clone, Debug, Args)]
pub struct ClusterArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// What can be done with the coordinators.
#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Ask every coordinator how it is, and say what the cluster can still take
    Status {
        /// Go on and print what changes
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show who the coordinators are and who leads
    Members {
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what happened in the cluster: leaders, workers that came and went, orders of operators
    Events {
        /// How many, the newest
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
        last: u32,
        /// Go on and print what happens
        #[arg(short, long)]
        watch: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Hand leadership to another coordinator; quorum stays as it is
    TransferLeader {
        /// Which one; the one that is furthest when not given
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        to: Option<u64>,
    },
    /// Raise the feature level, once every coordinator is of a release that understands it; there is no way back
    Upgrade {
        /// To which level; as far as every coordinator goes when not given
        #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..))]
        to: Option<u32>,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
        /// How to print
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write a backup of everything that the cluster holds, while it works; or check one with --verify
    Backup(BackupArgs),
    /// Make the first coordinator of a new cluster from a backup: fill the empty data directory of one on this machine
    Restore(RestoreArgs),
    /// Let one coordinator go on alone when a majority is gone for ever; it must be on this machine and not run
    Recover(RecoverArgs),
    /// Changing who they are.
    #[command(flatten)]
    Membership(MembershipCommand),
}

impl ClusterArgs {
    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        match &self.command {
            ClusterCommand::Status { output, .. }
            | ClusterCommand::Members { output }
            | ClusterCommand::Events { output, .. }
            | ClusterCommand::Upgrade { output, .. } => output.format,
            ClusterCommand::TransferLeader { .. } => Format::Table,
            ClusterCommand::Backup(args) => args.output.format,
            ClusterCommand::Restore(args) => args.output.format,
            ClusterCommand::Recover(args) => args.output.format,
            ClusterCommand::Membership(command) => command.format(),
        }
    }

    /// Does what needs no cluster; `None` when this is something else.
    pub(super) async fn run_offline(&self) -> Option<Result<(), Failure>> {
        match &self.command {
            ClusterCommand::Backup(args) if args.verify => Some(backup::verify(args).await),
            ClusterCommand::Restore(args) => Some(rescue::restore(args).await),
            ClusterCommand::Recover(args) => Some(rescue::recover(args).await),
            _ => None,
        }
    }
}

pub(super) async fn run(context: &Context, args: &ClusterArgs) -> Result<(), Failure> {
    match &args.command {
        ClusterCommand::Status { watch: true, output } => watch::run(context, output.format, || status(context)).await,
        ClusterCommand::Status { watch: false, output } => {
            let status = status(context).await?;
            context.show(&status, output.format)?;
            if status.verdict == Verdict::NoQuorum {
                let failure = Failure::new(Exit::Unreachable, "the cluster has no quorum");
                return Err(failure.hint("start the members that are down; the others say above why they wait"));
            }
            Ok(())
        }
        ClusterCommand::Members { output } => {
            let members = context.connection.members().await?;
            context.show(&MemberList(members), output.format).map(|_| ())
        }
        ClusterCommand::Events { last, watch: false, output } => {
            let events = context.connection.list_cluster_events(0, *last).await?;
            context.show(&EventList(events), output.format).map(|_| ())
        }
        ClusterCommand::Events { last, watch: true, output } => events::follow(context, *last, output.format).await,
        ClusterCommand::TransferLeader { to } => {
            let leader = context.connection.transfer_leader(to.map(CoordinatorId)).await?;
            print(&says::leads(leader.0)).map(|_| ())
        }
        ClusterCommand::Upgrade { to, dry_run, output } => upgrade(context, *to, *dry_run, output.format).await,
        ClusterCommand::Backup(args) => backup::run(context, args).await,
        // Done already, without a cluster.
        ClusterCommand::Restore(_) | ClusterCommand::Recover(_) => Ok(()),
        ClusterCommand::Membership(command) => membership::run(context, command).await,
    }
}

/// What every coordinator understands is shown first, also when that is why it is refused.
async fn upgrade(context: &Context, to: Option<u32>, dry_run: bool, format: Format) -> Result<(), Failure> {
    let plan = context.connection.plan_upgrade(to).await?;
    if let Some(refusal) = &plan.refusal {
        note(&levels_text(&plan));
        return Err(Failure::new(Exit::Conflict, refusal.clone()));
    }
    if dry_run {
        return context.show(&LevelView { upgrade: plan, says: Says::Would }, format).map(|_| ());
    }
    let upgrade = context.connection.upgrade(Some(plan.to)).await?;
    context.show(&LevelView { upgrade, says: Says::Does }, format).map(|_| ())
}

async fn status(context: &Context) -> Result<ClusterStatus, Failure> {
    let members = context.connection.members().await?;
    let reports = context.connection.member_statuses(&members).await;
    Ok(ClusterStatus::new(members.cluster_id, reports))
}
