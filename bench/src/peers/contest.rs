//! A workload of ours with its peers, run by run.

use crate::figures::{Figures, P50_MS};
use crate::peers::install::Installed;
use crate::peers::peer::{self, CALL_AND_COMMIT, Mode, Peer, Played};
use crate::peers::ratios::Comparison;
use crate::report::{Runs, WorkloadResult};
use crate::settings::Settings;

/// The peers of one workload.
pub struct Contest {
    workload: &'static str,
    rivals: Vec<Rival>,
}

/// A peer, and what has come of its runs so far.
struct Rival {
    peer: &'static Peer,
    mode: Mode,
    place: std::path::PathBuf,
    version: Option<String>,
    measured: Vec<Figures>,
    /// Why it runs no more.
    ended: Option<Runs>,
}

impl Contest {
    /// The peers that compare with this workload, of these products.
    #[must_use]
    pub fn new(workload: &'static str, installed: &Installed) -> Self {
        let Some(mode) = Mode::beside(workload) else { return Self { workload, rivals: Vec::new() } };
        let peers = |product| peer::ALL.iter().filter(move |peer| peer.product == product && peer.plays(mode));
        let rivals = installed.iter().flat_map(|(product, place)| {
            peers(*product).map(move |peer| Rival {
                peer,
                mode,
                place: place.clone().unwrap_or_default(),
                version: None,
                measured: Vec::new(),
                ended: place.clone().err().map(Runs::Skipped),
            })
        });
        Self { workload, rivals: rivals.collect() }
    }

    /// One run of each, after one of ours.
    pub async fn round(&mut self, settings: &Settings) {
        for rival in &mut self.rivals {
            rival.run(settings).await;
        }
    }

    /// What came of it, beside our own runs.
    #[must_use]
    pub fn comparisons(self, ours: &WorkloadResult) -> Vec<Comparison> {
        let ours = if let Runs::Measured(runs) = &ours.runs { runs.as_slice() } else { &[] };
        let sum = self.call_and_commit().map(|result| Comparison::new(&CALL_AND_COMMIT, None, ours, result));
        let compared = self.rivals.into_iter().map(|rival| {
            let runs = match rival.ended {
                Some(ended) => ended,
                None if rival.measured.is_empty() => Runs::Skipped("ours did not run".to_owned()),
                None => Runs::Measured(rival.measured),
            };
            let result = WorkloadResult {
                workload: self.workload.to_owned(),
                profile: Some(rival.peer.name.to_owned()),
                runs,
                wrong: Vec::new(),
            };
            Comparison::new(rival.peer, rival.version, ours, result)
        });
        compared.chain(sum).collect()
    }

    /// The times of [`CALL_AND_COMMIT`], where both were measured one call after the other.
    fn call_and_commit(&self) -> Option<WorkloadResult> {
        let runs = |name| {
            let rival = self.rivals.iter().find(|rival| rival.peer.name == name && rival.mode == Mode::Latency);
            rival.map(|rival| rival.measured.as_slice())
        };
        let pairs = runs("ray-actors")?.iter().zip(runs("etcd-1")?);
        let added = pairs.filter_map(|(call, commit)| {
            let mut sum = Figures::default();
            sum.set(P50_MS, call.get(P50_MS)? + commit.get(P50_MS)?);
            Some(sum)
        });
        let added: Vec<Figures> = added.collect();
        (!added.is_empty()).then(|| WorkloadResult {
            workload: self.workload.to_owned(),
            profile: Some(CALL_AND_COMMIT.name.to_owned()),
            runs: Runs::Measured(added),
            wrong: Vec::new(),
        })
    }
}

impl Rival {
    async fn run(&mut self, settings: &Settings) {
        if self.ended.is_some() {
            return;
        }
        eprintln!("  -> beside it: {}", self.peer.name);
        match self.peer.play(&self.place, self.mode, settings).await {
            Ok(Played::Measured { version, figures }) => {
                eprintln!("    {}", crate::series::summary(&figures));
                self.version = Some(version);
                self.measured.push(figures);
            }
            Ok(Played::NotStarted(why)) => {
                eprintln!("    it does not start: {why}");
                self.ended = Some(Runs::Skipped(format!("it does not start: {why}")));
            }
            Err(error) => {
                eprintln!("    FAILED: {error:#}");
                self.ended = Some(Runs::Failed(format!("{error:#}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::peers::peer::Product;

    fn ours() -> WorkloadResult {
        WorkloadResult {
            workload: "throughput".to_owned(),
            profile: None,
            runs: Runs::Measured(Vec::new()),
            wrong: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_is_not_installed_is_skipped_with_its_reason() {
        let installed = vec![(Product::Ray, Err("no network".to_owned()))];
        let mut contest = Contest::new("throughput", &installed);
        let settings = Settings { tasks: Some(1), seconds: None, seed: 1, profile: None, folder: PathBuf::new() };
        contest.round(&settings).await;
        let comparisons = contest.comparisons(&ours());
        assert_eq!(comparisons.len(), 2);
        let skipped = |one: &Comparison| matches!(&one.result.runs, Runs::Skipped(why) if why == "no network");
        assert!(comparisons.iter().all(skipped), "{comparisons:?}");
    }

    #[test]
    fn a_call_and_a_commit_are_added_run_by_run() {
        let installed = vec![(Product::Ray, Ok(PathBuf::new())), (Product::Etcd, Ok(PathBuf::new()))];
        let mut contest = Contest::new("python-latency", &installed);
        assert_eq!(contest.call_and_commit().map(|result| result.workload), None, "nothing was measured");
        for rival in &mut contest.rivals {
            let times: &[f64] = if rival.peer.name == "etcd-1" { &[1.0, 2.0, 9.0] } else { &[3.0, 5.0] };
            for time in times {
                let mut figures = Figures::default();
                figures.set(P50_MS, *time);
                rival.measured.push(figures);
            }
        }
        let Some(WorkloadResult { runs: Runs::Measured(added), .. }) = contest.call_and_commit() else {
            panic!("both were measured")
        };
        assert_eq!(added.iter().map(|run| run.get(P50_MS)).collect::<Vec<_>>(), [Some(4.0), Some(7.0)]);
    }

    #[test]
    fn a_workload_without_a_counterpart_has_no_peers() {
        let installed = vec![(Product::Etcd, Ok(PathBuf::new()))];
        assert!(Contest::new("failover", &installed).comparisons(&ours()).is_empty());
        let unplayed = Contest::new("throughput", &installed).comparisons(&ours());
        assert_eq!(unplayed.len(), 3);
        assert!(unplayed.iter().all(|one| matches!(&one.result.runs, Runs::Skipped(why) if why == "ours did not run")));
    }
}
