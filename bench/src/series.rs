//! Runs workloads, each several times, and collects what came of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::arguments::Plan;
use crate::charts;
use crate::figures::{CPU_S_PER_1000, FOREIGN_CPU, Figures, P50_MS, P99_MS, TASKS_PER_S};
use crate::host::Machine;
use crate::peers::contest::Contest;
use crate::peers::install;
use crate::report::{Report, Runs, WorkloadResult};
use crate::settings::Settings;
use crate::workloads::{Outcome, Workload};

/// Runs what is planned. A workload that goes wrong is part of the report, and the next one runs.
///
/// # Errors
/// If the machine cannot be read, or the report cannot be written.
pub async fn run(plan: &Plan) -> Result<Report> {
    let folder = folder(plan)?;
    let mut report = Report { machine: Machine::read()?, results: Vec::new(), peers: Vec::new() };
    let installed = install::prepare(&plan.vs, !plan.no_install).await;
    for (product, place) in &installed {
        if let Err(why) = place {
            eprintln!("    {} is skipped: {why}", product.name());
        }
    }
    for workload in plan.workloads() {
        let mut contest = Contest::new(workload.name, &installed);
        let result = repeat(workload, plan, &folder, &mut contest).await;
        if let Runs::Skipped(why) | Runs::Failed(why) = &result.runs {
            eprintln!("    {why}");
        }
        report.peers.extend(contest.comparisons(&result));
        report.results.push(result);
        // After each workload, so that what is measured is kept whatever happens to the next one.
        write(&folder, "report.json", &format!("{:#}\n", report.json()))?;
        write(&folder, "report.md", &report.markdown())?;
    }
    charts::write(&report.json(), &folder)?;
    eprintln!("==> the report is in {}", folder.display());
    Ok(report)
}

async fn repeat(workload: &Workload, plan: &Plan, folder: &Path, contest: &mut Contest) -> WorkloadResult {
    let count = plan.runs.min(workload.runs_max);
    let mut measured = Vec::new();
    let mut result = WorkloadResult {
        workload: workload.name.to_owned(),
        profile: workload.profile.map(str::to_owned),
        runs: Runs::Measured(Vec::new()),
        wrong: Vec::new(),
    };
    for number in 1..=count {
        eprintln!("==> {}, run {number} of {count}", result.title());
        let wants_profile = plan.profile && number == 1;
        let settings = Settings {
            tasks: plan.tasks,
            seconds: plan.seconds,
            seed: plan.seed.map_or_else(rand::random, |seed| seed.wrapping_add(number as u64)),
            profile: wants_profile.then(|| folder.join(result.title().replace([' ', '(', ')'], ""))),
            folder: folder.to_path_buf(),
        };
        match (workload.run)(settings.clone()).await {
            Ok(Outcome::Measured(figures)) => {
                eprintln!("    {}", summary(&figures));
                measured.push(figures);
            }
            Ok(Outcome::Wrong(figures, why)) => {
                eprintln!("    WRONG: {why}");
                measured.push(figures);
                result.wrong.push(why);
            }
            Ok(Outcome::Skipped(why)) => return WorkloadResult { runs: Runs::Skipped(why), ..result },
            Err(error) => return WorkloadResult { runs: Runs::Failed(format!("{error:#}")), ..result },
        }
        contest.round(&settings).await;
    }
    WorkloadResult { runs: Runs::Measured(measured), ..result }
}

/// The main figures in one line.
#[must_use]
pub fn summary(figures: &Figures) -> String {
    let main = [TASKS_PER_S, P50_MS, P99_MS, CPU_S_PER_1000, FOREIGN_CPU];
    let found = main.into_iter().filter_map(|name| Some((name, figures.get(name)?)));
    let texts: Vec<_> = found.map(|(name, value)| format!("{name} {value:.3}")).collect();
    texts.join(", ")
}

/// Where the report goes: never into the checkout unless the user says so.
fn folder(plan: &Plan) -> Result<PathBuf> {
    let folder = match &plan.out {
        Some(folder) => folder.clone(),
        None => {
            let program = std::env::current_exe().context("where is this program?")?;
            program.parent().context("this program has no folder")?.join("flame-bench-results")
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("find {}", folder.display()))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
