//! `membership`: three coordinators become five and three again under load, while leaders and others are killed in between;
//! then one whose disk was wiped, and one that was given an old copy of its disk, are refused and replaced.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::ClusterOptions;
use flame_types::CoordinatorId;

use super::judge::{Judge, millis};
use super::report::Report;
use crate::run::members::QUARANTINE;
use crate::run::{Run, RunOptions, Traffic};

const NAME: &str = "membership";

const SUBMIT_EVERY: Duration = Duration::from_micros(2_500);
const WINDOW: usize = 20_000;
const SERVICES: u32 = 8;

/// Before and after each step.
const TASKS_BETWEEN: u64 = 400;

/// What one writes that was given an old copy of its disk, when it hears of it.
const OLD_COPY: &str = "has an old copy of its disk";

/// Flags of `flame-chaos membership`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How often all of it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
}

/// One task in twenty takes half a second.
fn takes(number: u64) -> Duration {
    if number.is_multiple_of(20) { Duration::from_millis(500) } else { Duration::ZERO }
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, a change is refused, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let cluster = ClusterOptions { workers: 2, ..ClusterOptions::default() };
    let run = Run::start(RunOptions { cluster, services_max: SERVICES, window: WINDOW }).await?;
    let traffic = Traffic::start(&run.load, "members", SUBMIT_EVERY, takes);
    let mut play = Play { run, judge: Judge::new(NAME), steps: Vec::new(), gaps: Vec::new(), elections: 0 };
    for _ in 0..options.rounds {
        play.grow_to_five().await?;
        play.shrink_to_three().await?;
        play.wiped().await?;
        play.old_copy().await?;
    }
    let submitted = traffic.stop().await?;
    let Play { run, mut judge, steps, gaps, elections } = play;
    eprintln!("==> {submitted} tasks are submitted; waiting for the last");
    run.load.settle(submitted).await?;
    run.agreement().await?;
    let voters = run.any()?.members().await?.members.into_iter().filter(|member| member.voter).count();
    judge.figure("voters", voters);
    judge.require(voters == 3, || format!("{voters} coordinators vote in the end"));
    judge.figure("elections", elections);
    judge.presume(elections > 0, || "no leader was killed".to_owned());
    judge.figure("steps", steps.join(","));
    judge.times("write_gaps_ms", &gaps);
    judge.verdict(&run.verdict().await?, submitted);
    judge.nobody_evicted(&run.cluster)?;
    run.cluster.shutdown().await?;
    Ok(judge.report())
}

/// The scenario under way.
struct Play {
    run: Run,
    judge: Judge,
    steps: Vec<String>,
    gaps: Vec<Duration>,
    elections: u64,
}

impl Play {
    async fn grow_to_five(&mut self) -> Result<()> {
        self.begin().await?;
        self.run.grow().await?;
        self.end("grow").await?;
        self.kill_leader_and(0).await?;
        self.begin().await?;
        self.run.grow().await?;
        self.end("grow").await?;
        self.kill_leader_and(1).await
    }

    async fn shrink_to_three(&mut self) -> Result<()> {
        let follower = self.follower().await?;
        self.begin().await?;
        self.run.shrink(follower).await?;
        self.end("remove-follower").await?;
        self.kill_leader_and(0).await?;
        let leader = self.run.cluster.leader().await?.id;
        self.begin().await?;
        self.run.shrink(leader).await?;
        self.end("remove-leader").await?;
        self.kill_leader_and(0).await
    }

    /// A follower dies and its disk is wiped: it is not let in again, and replaced by a new one.
    async fn wiped(&mut self) -> Result<()> {
        let id = self.follower().await?;
        self.run.cluster.kill_coordinator(id).await?;
        self.run.cluster.wipe_data(id)?;
        self.is_quarantined(id, "a wiped disk").await?;
        self.begin().await?;
        self.run.replace(id).await?;
        self.end("replace-wiped").await
    }

    /// A follower is given the disk that it had some time ago.
    async fn old_copy(&mut self) -> Result<()> {
        let id = self.follower().await?;
        let cluster = &mut self.run.cluster;
        cluster.stop_coordinator(id).await?;
        let copy = cluster.folder().join(format!("copy-{id}"));
        cluster.copy_data(id, &copy)?;
        cluster.start_coordinator(id).await?;
        self.run.catches_up(id).await?;
        self.run.goes_on(TASKS_BETWEEN).await?;
        self.run.cluster.kill_coordinator(id).await?;
        self.run.cluster.restore_data(id, &copy)?;
        self.is_quarantined(id, "an old copy of a disk").await?;
        let told = self.run.cluster.tail(id).contains(OLD_COPY);
        self.judge.require(told, || format!("coordinator {id} does not say why\n{}", self.run.cluster.tail(id)));
        self.begin().await?;
        self.run.replace(id).await?;
        self.end("replace-old-copy").await
    }

    async fn is_quarantined(&mut self, id: CoordinatorId, disk: &str) -> Result<()> {
        let code = self.run.cluster.start_to_end(id).await?;
        self.judge.require(code == QUARANTINE, || format!("with {disk} coordinator {id} ended with {code}"));
        Ok(())
    }

    /// Kills the leader and so many others at once, and brings them back.
    async fn kill_leader_and(&mut self, others: usize) -> Result<()> {
        self.run.runs(1).await?;
        let leader = self.run.cluster.leader().await?;
        let ids = self.run.cluster.coordinator_ids().into_iter();
        let others = ids.filter(|id| *id != leader.id).take(others);
        let victims: Vec<CoordinatorId> = std::iter::once(leader.id).chain(others).collect();
        self.begin().await?;
        self.run.cluster.kill_coordinators(&victims).await?;
        self.run.goes_on(TASKS_BETWEEN).await.with_context(|| self.run.cluster.tails())?;
        self.run.leader_after(leader).await?;
        self.elections += 1;
        self.end(if victims.len() == 1 { "kill-leader" } else { "kill-leader-and-another" }).await?;
        for id in victims {
            self.run.cluster.start_coordinator(id).await?;
            self.run.catches_up(id).await?;
        }
        Ok(())
    }

    /// From here on silences count.
    async fn begin(&mut self) -> Result<()> {
        self.run.goes_on(TASKS_BETWEEN).await?;
        self.run.ledger.fault();
        Ok(())
    }

    async fn end(&mut self, step: &str) -> Result<()> {
        self.run.goes_on(TASKS_BETWEEN).await.with_context(|| format!("after {step}\n{}", self.run.cluster.tails()))?;
        let (write, _result) = self.run.ledger.gaps();
        eprintln!("    {step}: write gap {} ms", millis(write));
        self.steps.push(step.to_owned());
        self.gaps.push(write);
        Ok(())
    }

    /// The follower with the highest number: the first one, whose list begins clusters, may end for another reason.
    async fn follower(&self) -> Result<CoordinatorId> {
        let leader = self.run.cluster.leader().await?.id;
        let ids = self.run.cluster.coordinator_ids();
        ensure!(ids.len() >= 3, "only {ids:?} are left");
        ids.into_iter().filter(|id| *id != leader).max().context("there are followers")
    }
}
