//! `flmctl cluster add|promote|remove|replace`.
//!
//! Each says first, on stderr, what it does to the quorum, then does it, unless it is refused. All may be repeated: what is
//! so already is success.

use std::time::Duration;

use clap::{Args, Subcommand};
use flame_sdk::model::{MembershipChange, MembershipPlan};
use flame_sdk::{MemberChange, NewMember};
use flame_types::CoordinatorId;
use tokio::time::{Instant, sleep};

use super::{Context, OutputArgs, says};
use crate::exit::{Exit, Failure};
use crate::output::note;
use crate::render::{Format, MembershipStep, MembershipSteps, plan_text};
use crate::time::parse_span;

/// Between two looks at a learner that catches up.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What `--force` risks.
const RISK: &str = "forced: if those who do not answer stay away, the cluster accepts no changes until they are back\n";

/// Changes of who the coordinators are.
#[derive(Clone, Debug, Subcommand)]
pub enum MembershipCommand {
    /// Add a coordinator that waits for it (started with --join): it receives the log and has no vote yet
    Add(AddArgs),
    /// Give a coordinator that has caught up a vote
    Promote {
        /// Its number
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: u64,
        /// How long
        #[command(flatten)]
        wait: WaitArgs,
        /// How
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a coordinator out for ever, dead or alive; its number is never given out again
    Remove {
        /// Its number
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        id: u64,
        /// How
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put a new coordinator in the place of another, dead or alive: the votes change in one step
    Replace(ReplaceArgs),
}

/// Of `flmctl cluster add`.
#[derive(Clone, Debug, Args)]
pub struct AddArgs {
    /// Its number, never taken before
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub id: u64,
    /// Where it listens
    #[command(flatten)]
    pub at: AddressArgs,
    /// Give it a vote once it has caught up
    #[arg(long)]
    pub promote: bool,
    /// How long
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Of `flmctl cluster replace`.
#[derive(Clone, Debug, Args)]
pub struct ReplaceArgs {
    /// The coordinator that goes
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub old: u64,
    /// The one that comes; a number that was never taken
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub new: u64,
    /// Where it listens
    #[command(flatten)]
    pub at: AddressArgs,
    /// How long
    #[command(flatten)]
    pub wait: WaitArgs,
    /// How
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Where a new coordinator listens.
#[derive(Clone, Debug, Args)]
pub struct AddressArgs {
    /// Where other coordinators reach it
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: String,
    /// Where clients reach it; where it listens itself when not given
    #[arg(long, value_name = "HOST:PORT")]
    pub client: Option<String>,
    /// Where workers reach it; likewise
    #[arg(long, value_name = "HOST:PORT")]
    pub worker: Option<String>,
}

/// How long to wait for a new coordinator.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// How long it may take to catch up, like 5m
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_span)]
    pub wait: Duration,
}

/// Of every change.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChangeArgs {
    /// Do it although too few voters answer: if they stay away, the cluster accepts no changes
    #[arg(long)]
    pub force: bool,
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[command(flatten)]
    pub output: OutputArgs,
}

impl MembershipCommand {
    fn change(&self) -> ChangeArgs {
        match self {
            Self::Add(args) => args.change,
            Self::Promote { change, .. } | Self::Remove { change, .. } => *change,
            Self::Replace(args) => args.change,
        }
    }

    /// How its errors are printed.
    pub(super) fn format(&self) -> Format {
        self.change().output.format
    }
}

impl AddressArgs {
    fn member(&self, id: u64) -> MemberChange {
        let Self { peer, client, worker } = self.clone();
        MemberChange::Add(NewMember { id: CoordinatorId(id), peer, client, worker })
    }
}

pub(super) async fn run(context: &Context, command: &MembershipCommand) -> Result<(), Failure> {
    let mut work = Work { context, args: command.change(), steps: MembershipSteps::default() };
    match command {
        MembershipCommand::Add(args) => work.add(args).await?,
        MembershipCommand::Promote { id, wait, .. } => work.promote(*id, wait.wait).await?,
        MembershipCommand::Remove { id, .. } => {
            work.step("remove", &format!("remove {id}"), &MemberChange::Remove(CoordinatorId(*id))).await?;
            work.say(says::removed(*id));
        }
        MembershipCommand::Replace(args) => work.replace(args).await?,
    }
    context.show(&work.steps, work.args.output.format).map(|_| ())
}

/// A command under way.
struct Work<'a> {
    context: &'a Context,
    args: ChangeArgs,
    steps: MembershipSteps,
}

impl Work<'_> {
    async fn add(&mut self, args: &AddArgs) -> Result<(), Failure> {
        self.step("add", &format!("add {}", args.id), &args.at.member(args.id)).await?;
        if self.args.dry_run {
            return Ok(());
        }
        if args.promote {
            return self.promote(args.id, args.wait.wait).await;
        }
        self.caught_up(&MemberChange::Promote(CoordinatorId(args.id)), args.id, args.wait.wait).await?;
        self.say(says::learns(args.id));
        Ok(())
    }

    async fn promote(&mut self, id: u64, wait: Duration) -> Result<(), Failure> {
        let change = MemberChange::Promote(CoordinatorId(id));
        if !self.args.dry_run {
            self.caught_up(&change, id, wait).await?;
        }
        self.step("promote", &format!("promote {id}"), &change).await?;
        self.say(says::votes(id));
        Ok(())
    }

    async fn replace(&mut self, args: &ReplaceArgs) -> Result<(), Failure> {
        let change = MemberChange::Replace { old: CoordinatorId(args.old), new: CoordinatorId(args.new) };
        self.step("add", &format!("add {}", args.new), &args.at.member(args.new)).await?;
        if self.args.dry_run {
            return Ok(());
        }
        self.caught_up(&change, args.new, args.wait.wait).await?;
        self.step("replace", &format!("replace {} by {}", args.old, args.new), &change).await?;
        self.say(says::replaced(args.old, args.new));
        Ok(())
    }

    /// Says what a change does, and makes it.
    async fn step(&mut self, step: &'static str, what: &str, change: &MemberChange) -> Result<(), Failure> {
        let connection = &self.context.connection;
        let plan = connection.plan_members(change).await?;
        note(&plan_text(what, &plan));
        if self.args.dry_run {
            return self.planned(step, plan);
        }
        if plan.refusal.is_some() && plan.force_helps && self.args.force {
            note(RISK);
        }
        let made = connection.change_members(change, self.args.force).await;
        let change = made.map_err(|error| match (Failure::from(error), plan.force_helps) {
            (failure, true) => failure.or_hint("--force does it all the same; see --help for what that risks"),
            (failure, false) => failure,
        })?;
        self.steps.steps.push(MembershipStep { step, change });
        Ok(())
    }

    fn planned(&mut self, step: &'static str, plan: MembershipPlan) -> Result<(), Failure> {
        if let Some(refusal) = &plan.refusal {
            return Err(Failure::new(Exit::Conflict, format!("it would be refused: {refusal}")));
        }
        self.steps.steps.push(MembershipStep { step, change: MembershipChange { plan, changed: false } });
        Ok(())
    }

    /// Waits until a new coordinator has what the others have, and says how far it is.
    async fn caught_up(&self, vote: &MemberChange, id: u64, wait: Duration) -> Result<(), Failure> {
        let until = Instant::now() + wait;
        let mut told = None;
        loop {
            let plan = self.context.connection.plan_members(vote).await?;
            let answers = plan.answering.contains(&id);
            let behind = plan.behind.unwrap_or(0);
            if plan.already || plan.behind.is_none() || (answers && behind <= plan.behind_max) {
                return Ok(());
            }
            let state = (answers, behind);
            if told != Some(state) {
                note(&progress(id, answers, behind));
                told = Some(state);
            }
            if Instant::now() + LOOK_EVERY >= until {
                let text = format!("coordinator {id} has not caught up in {} s", wait.as_secs());
                let failure = Failure::new(Exit::TimedOut, text);
                return Err(failure.hint("it stays a learner; the same command again goes on from here"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn say(&mut self, what: String) {
        if !self.args.dry_run {
            self.steps.says += &what;
        }
    }
}

fn progress(id: u64, answers: bool, behind: u64) -> String {
    match answers {
        true => format!("coordinator {id} catches up: {behind} entries to go\n"),
        false => format!("coordinator {id} does not answer yet, {behind} entries to go\n"),
    }
}
