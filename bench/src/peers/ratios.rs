//! How many times better ours is: a run of ours with the run of the peer beside it.
//!
//! **Invariant:** a ratio above one is in our favour, whatever the figure: of rates, ours through theirs; of costs and
//! times, theirs through ours. It is the median over the pairs of runs, and only pairs in which both have the figure
//! count.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::figures::{CPU_S_PER_1000, DISK_MB_PER_1000, Figures, P50_MS, P99_MS, PSS_MB, TASKS_PER_S};
use crate::peers::peer::Peer;
use crate::report::{Runs, WorkloadResult, number, one_line, short};
use crate::statistics::Spread;

/// A figure that is compared.
struct Compared {
    name: &'static str,
    title: &'static str,
    is_rate: bool,
    /// Where it means the same for both: with all tasks submitted at once, latency is the time in a queue whose length
    /// was our choice.
    workloads: &'static [&'static str],
    /// Whether only those are compared that keep their work on disk, as we do: who does not writes logs at most.
    needs_disk: bool,
}

const LOADED: &[&str] = &["throughput", "throughput-unary", "python"];
const SEQUENTIAL: &[&str] = &["latency", "python-latency"];
const STARTING: &[&str] = &["cold-start"];
const RUNNING: &[&str] = &["throughput", "throughput-unary", "python", "latency", "python-latency"];
const ALL: &[&str] = &["throughput", "throughput-unary", "python", "latency", "python-latency", "cold-start"];

const COMPARED: &[Compared] = &[
    Compared { is_rate: true, ..cost(TASKS_PER_S, "tasks/s", RUNNING) },
    cost(CPU_S_PER_1000, "CPU s per 1,000", RUNNING),
    cost(P50_MS, "p50 ms", SEQUENTIAL),
    cost(P99_MS, "p99 ms", SEQUENTIAL),
    cost("first_result_ms", "first result ms", STARTING),
    cost(PSS_MB, "PSS MB", ALL),
    Compared { needs_disk: true, ..cost(DISK_MB_PER_1000, "disk MB per 1,000", LOADED) },
];

const fn cost(name: &'static str, title: &'static str, workloads: &'static [&'static str]) -> Compared {
    Compared { name, title, is_rate: false, workloads, needs_disk: false }
}

/// A peer beside a workload of ours.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Which peer.
    pub peer: &'static Peer,
    /// What it says it is, once it has run.
    pub version: Option<String>,
    /// Its own runs.
    pub result: WorkloadResult,
    ratios: Vec<Ratio>,
}

#[derive(Clone, Debug, PartialEq)]
struct Ratio {
    name: &'static str,
    title: &'static str,
    ours: Spread,
    theirs: Spread,
    better: Spread,
}

impl Comparison {
    /// The runs of a peer beside `ours`, first with first.
    #[must_use]
    pub fn new(peer: &'static Peer, version: Option<String>, ours: &[Figures], result: WorkloadResult) -> Self {
        let theirs = if let Runs::Measured(runs) = &result.runs { runs.as_slice() } else { &[] };
        let compared = COMPARED.iter().filter(|one| one.workloads.contains(&result.workload.as_str()));
        let compared = compared.filter(|one| !one.needs_disk || peer.product.is_replicated());
        let ratios = compared.filter_map(|one| one.ratio(ours, theirs)).collect();
        Self { peer, version, result, ratios }
    }

    /// As its own workloads are in the report, with `peer`, `version` and `ratios`.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = self.result.json();
        object["peer"] = json!(self.peer.name);
        object["version"] = json!(self.version);
        let ratios = self.ratios.iter().map(|ratio| (ratio.name.to_owned(), number(ratio.better.median)));
        object["ratios"] = Value::Object(ratios.collect::<Map<_, _>>());
        if let Value::Object(object) = &mut object {
            // It says no more than `peer`.
            object.remove("profile");
        }
        object
    }
}

impl Compared {
    fn ratio(&self, ours: &[Figures], theirs: &[Figures]) -> Option<Ratio> {
        let values = |ours: &Figures, theirs: &Figures| {
            let (ours, theirs) = (ours.get(self.name)?, theirs.get(self.name)?);
            (ours.min(theirs) > 0.0).then_some((ours, theirs))
        };
        let pairs: Vec<_> = ours.iter().zip(theirs).filter_map(|(ours, theirs)| values(ours, theirs)).collect();
        let spread = |of: fn((f64, f64)) -> f64| Spread::of(&pairs.iter().copied().map(of).collect::<Vec<_>>());
        let better = if self.is_rate { spread(|(ours, theirs)| ours / theirs) } else { spread(|(o, t)| t / o) };
        let (ours, theirs) = (spread(|(ours, _)| ours)?, spread(|(_, theirs)| theirs)?);
        Some(Ratio { name: self.name, title: self.title, ours, theirs, better: better? })
    }
}

/// The tables of the report; nothing when there was no comparison.
#[must_use]
pub fn tables(comparisons: &[Comparison]) -> String {
    if comparisons.is_empty() {
        return String::new();
    }
    let mut text = "\nPeers, each run after one of ours in the same call:\n\n".to_owned();
    text.push_str(crate::report::TABLE_HEAD);
    for comparison in comparisons {
        text.push_str(&comparison.result.row());
    }
    text.push_str("\nRatios, run with run; above 1 ours is better:\n\n");
    text.push_str("| workload | peer | figure | ours | theirs | ours is better by |\n|---|---|---|--:|--:|--:|\n");
    for Comparison { peer, version, result, ratios } in comparisons {
        let version = version.as_ref().map_or_else(String::new, |version| format!(" ({version})"));
        let peer = peer.name;
        let who = format!("| {} | {peer}{version} |", result.workload);
        for Ratio { title, ours, theirs, better, .. } in ratios {
            let (ours, theirs) = (short(ours.median), short(theirs.median));
            let _ = writeln!(text, "{who} {title} | {ours} | {theirs} | {} |", times(better, peer));
        }
        if let Runs::Skipped(why) | Runs::Failed(why) = &result.runs {
            let _ = writeln!(text, "{who} none: {} | | | |", one_line(why));
        }
    }
    text
}

/// `12.3 × ray-tasks (11.0–13.1)`.
fn times(better: &Spread, peer: &str) -> String {
    let Spread { median, min, max } = *better;
    let range = if min < max { format!(" ({}–{})", short(min), short(max)) } else { String::new() };
    format!("**{} ×** {peer}{range}", short(median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(entries: &[(&str, f64)]) -> Figures {
        let mut figures = Figures::default();
        for (name, value) in entries {
            figures.set(name, *value);
        }
        figures
    }

    fn result(workload: &str, runs: Runs) -> WorkloadResult {
        WorkloadResult { workload: workload.to_owned(), profile: Some("ray-tasks".to_owned()), runs, wrong: Vec::new() }
    }

    fn peer(name: &str) -> &'static Peer {
        crate::peers::peer::ALL.iter().find(|peer| peer.name == name).expect("it is one of ours")
    }

    fn comparison() -> Comparison {
        let run =
            |rate, cpu| figures(&[(TASKS_PER_S, rate), (CPU_S_PER_1000, cpu), (DISK_MB_PER_1000, 2.0), (P50_MS, 9.0)]);
        let ours = [run(20_000.0, 0.1), run(10_000.0, 0.2), run(30_000.0, 0.1)];
        let theirs = vec![run(2_000.0, 0.8), run(500.0, 1.0), run(3_000.0, 0.9)];
        let version = Some("Ray 1.2.3".to_owned());
        Comparison::new(peer("ray-tasks"), version, &ours, result("throughput", Runs::Measured(theirs)))
    }

    #[test]
    fn runs_are_compared_with_the_runs_beside_them() {
        let ratios = &comparison().json()["ratios"];
        // 10, 20 and 10 times the rate; 8, 5 and 9 times the cost.
        assert_eq!((&ratios["tasks_per_s"], &ratios["cpu_s_per_1000"]), (&json!(10.0), &json!(8.0)));
        assert_eq!(ratios["p50_ms"], Value::Null, "with all tasks at once it is not comparable");
        assert_eq!(ratios["disk_mb_per_1000"], Value::Null, "it keeps nothing on disk");
    }

    #[test]
    fn a_pair_needs_both() {
        let one = [figures(&[(P50_MS, 2.0)])];
        let both = Runs::Measured(vec![figures(&[(P50_MS, 3.0)]), figures(&[(P50_MS, 100.0)])]);
        let pairs = Comparison::new(peer("ray-tasks"), None, &one, result("latency", both));
        assert_eq!(pairs.json()["ratios"]["p50_ms"], json!(1.5));
        let disk = [figures(&[(DISK_MB_PER_1000, 1.0)])];
        let theirs = Runs::Measured(vec![figures(&[(DISK_MB_PER_1000, 3.0)])]);
        let etcd = Comparison::new(peer("etcd-16"), None, &disk, result("throughput", theirs));
        assert_eq!(etcd.json()["ratios"]["disk_mb_per_1000"], json!(3.0));
        let none = Comparison::new(peer("ray-tasks"), None, &one, result("latency", Runs::Measured(Vec::new())));
        assert_eq!(none.json()["ratios"], json!({}));
    }

    #[test]
    fn the_object_of_a_peer_is_shaped_as_ours() {
        let object = comparison().json();
        assert_eq!((&object["workload"], &object["peer"]), (&json!("throughput"), &json!("ray-tasks")));
        assert_eq!((&object["version"], &object["tasks_per_s"]), (&json!("Ray 1.2.3"), &json!(2000.0)));
        assert_eq!(object.get("profile"), None);
    }

    #[test]
    fn the_tables_say_who_is_better_and_what_was_skipped() {
        let skipped = result("throughput", Runs::Skipped("no | network".to_owned()));
        let all = [comparison(), Comparison::new(peer("etcd-16"), None, &[], skipped)];
        let text = tables(&all);
        assert!(text.contains("| throughput (ray-tasks) | 3 | 2000 (500–3000) |"), "{text}");
        let row = "| throughput | ray-tasks (Ray 1.2.3) | tasks/s | 20000 | 2000 | **10.0 ×** ray-tasks (10.0–20.0) |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| throughput | etcd-16 | none: no / network | | | |"), "{text}");
        assert_eq!(tables(&[]), "");
    }
}
