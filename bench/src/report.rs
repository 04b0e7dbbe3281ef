//! The report: one JSON object for programs, one Markdown table for people.
//!
//! **Invariant:** a figure is the median over the runs; the lowest and the highest are beside it, under `min` and `max`.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::figures::{self, ALWAYS, Figures};
use crate::host::Machine;
use crate::peers::ratios::{self, Comparison};
use crate::statistics::Spread;

/// The columns of every table of runs.
pub const TABLE_HEAD: &str = "\
| workload | runs | tasks/s | p50 ms | p99 ms | CPU s per 1,000 | PSS MB | foreign CPU |
|---|--:|--:|--:|--:|--:|--:|--:|
";

/// What came of one workload.
#[derive(Clone, Debug)]
pub struct WorkloadResult {
    /// Its name.
    pub workload: String,
    /// What distinguishes it from others of its name.
    pub profile: Option<String>,
    /// What came of its runs.
    pub runs: Runs,
    /// Promises that were broken in runs that gave figures all the same.
    pub wrong: Vec<String>,
}

/// What came of the runs of a workload.
#[derive(Clone, Debug)]
pub enum Runs {
    /// Each run's figures.
    Measured(Vec<Figures>),
    /// It cannot run here, because.
    Skipped(String),
    /// A run went wrong: a lost task, a wrong output, a cluster that did not start.
    Failed(String),
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// In the order in which they ran.
    pub results: Vec<WorkloadResult>,
    /// Other systems, measured beside ours.
    pub peers: Vec<Comparison>,
}

impl Report {
    /// The object that programs read.
    #[must_use]
    pub fn json(&self) -> Value {
        let results: Vec<_> = self.results.iter().map(WorkloadResult::json).collect();
        let mut object = json!({ "machine": to_value(&self.machine), "results": results });
        if !self.peers.is_empty() {
            object["peers"] = self.peers.iter().map(Comparison::json).collect();
        }
        object
    }

    /// The table that people read, with the rest of the figures below it.
    #[must_use]
    pub fn markdown(&self) -> String {
        let Machine { cores, cpu, kernel, memory_mb, guest_halt_poll_ns, load_before } = &self.machine;
        let load: Vec<_> = load_before.iter().map(|load| format!("{load:.2}")).collect();
        let poll = guest_halt_poll_ns.map_or_else(String::new, |poll| format!(", guest_halt_poll_ns {poll}"));
        let load = load.join(" ");
        let mut text =
            format!("{cores} processors ({cpu}), {memory_mb} MiB, Linux {kernel}{poll}, load before {load}\n\n");
        text.push_str(TABLE_HEAD);
        for result in &self.results {
            text.push_str(&result.row());
        }
        for result in &self.results {
            text.push_str(&result.details());
        }
        text.push_str(&ratios::tables(&self.peers));
        text
    }

    /// Whether every workload either ran well or was skipped.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let peers = self.peers.iter().map(|comparison| &comparison.result);
        let mut all = self.results.iter().chain(peers);
        all.all(|result| !matches!(result.runs, Runs::Failed(_)) && result.wrong.is_empty())
    }
}

impl WorkloadResult {
    /// Its name with what distinguishes it.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.profile {
            Some(profile) => format!("{} ({profile})", self.workload),
            None => self.workload.clone(),
        }
    }

    /// The object that programs read.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("workload".to_owned(), json!(self.workload));
        if let Some(profile) = &self.profile {
            object.insert("profile".to_owned(), json!(profile));
        }
        object.extend(ALWAYS.map(|name| (name.to_owned(), Value::Null)));
        match &self.runs {
            Runs::Skipped(why) => drop(object.insert("skipped".to_owned(), json!(why))),
            Runs::Failed(why) => drop(object.insert("failed".to_owned(), json!(why))),
            Runs::Measured(runs) => {
                let (mut min, mut max) = (Map::new(), Map::new());
                for (name, spread) in figures::spreads(runs) {
                    object.insert(name.clone(), number(spread.median));
                    min.insert(name.clone(), number(spread.min));
                    max.insert(name, number(spread.max));
                }
                object.insert("runs".to_owned(), json!(runs.len()));
                object.insert("min".to_owned(), Value::Object(min));
                object.insert("max".to_owned(), Value::Object(max));
            }
        }
        if !self.wrong.is_empty() {
            object.insert("wrong".to_owned(), json!(self.wrong));
        }
        Value::Object(object)
    }

    /// Its line of the table.
    #[must_use]
    pub fn row(&self) -> String {
        let title = self.title();
        let runs = match &self.runs {
            Runs::Skipped(why) => return format!("| {title} | skipped: {} | | | | | | |\n", one_line(why)),
            Runs::Failed(why) => return format!("| {title} | **failed**: {} | | | | | | |\n", one_line(why)),
            Runs::Measured(runs) => runs,
        };
        let spreads = figures::spreads(runs);
        let cell =
            |name: &str| spreads.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, s)| shown(s));
        let cells = [
            figures::TASKS_PER_S,
            figures::P50_MS,
            figures::P99_MS,
            figures::CPU_S_PER_1000,
            figures::PSS_MB,
            figures::FOREIGN_CPU,
        ];
        let cells: Vec<_> = cells.into_iter().map(cell).collect();
        format!("| {title} | {} | {} |\n", runs.len(), cells.join(" | "))
    }

    /// The figures that have no column.
    fn details(&self) -> String {
        let Runs::Measured(runs) = &self.runs else { return String::new() };
        let rest = figures::spreads(runs).into_iter().filter(|(name, _)| !ALWAYS.contains(&name.as_str()));
        let mut text = format!("\n{}:", self.title());
        for (at, (name, spread)) in rest.enumerate() {
            let separator = if at == 0 { "" } else { "," };
            let _ = write!(text, "{separator} {name} {}", short(spread.median));
        }
        for wrong in &self.wrong {
            let _ = write!(text, "\n**Wrong:** {}", one_line(wrong));
        }
        text + "\n"
    }
}

fn to_value(machine: &Machine) -> Value {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        machine: &'a Machine,
        version: &'static str,
    }
    let shown = Shown { machine, version: env!("CARGO_PKG_VERSION") };
    serde_json::to_value(shown).expect("numbers and texts have a JSON form")
}

/// Four digits that count: more would be noise.
#[must_use]
pub fn number(value: f64) -> Value {
    let text = format!("{value:.3e}");
    json!(text.parse::<f64>().unwrap_or(value))
}

fn shown(spread: &Spread) -> String {
    format!("{} ({}–{})", short(spread.median), short(spread.min), short(spread.max))
}

/// As people read it.
#[must_use]
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Fit for a cell of a table.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{P50_MS, TASKS_PER_S};

    fn report() -> Report {
        let machine = Machine {
            cores: 2,
            cpu: "C".to_owned(),
            kernel: "6".to_owned(),
            memory_mb: 1024,
            guest_halt_poll_ns: Some(0),
            load_before: vec![0.5, 0.25, 0.0],
        };
        let run = |rate: f64| {
            let mut figures = Figures::default();
            figures.set(TASKS_PER_S, rate);
            figures.set(P50_MS, 1.5);
            figures.set("own", 12_345.678);
            figures
        };
        let result = |workload: &str, profile: Option<&str>, runs| WorkloadResult {
            workload: workload.to_owned(),
            profile: profile.map(str::to_owned),
            runs,
            wrong: Vec::new(),
        };
        let results = vec![
            result("throughput", None, Runs::Measured(vec![run(100.0), run(300.0), run(200.0)])),
            result("failover", Some("fast"), Runs::Failed("lost | found\nmore".to_owned())),
            result("python", None, Runs::Skipped("no venv".to_owned())),
        ];
        Report { machine, results, peers: Vec::new() }
    }

    #[test]
    fn the_object_has_the_promised_shape() {
        let object = report().json();
        assert_eq!(object["machine"]["cores"], 2);
        let first = &object["results"][0];
        assert_eq!((&first["workload"], &first["tasks_per_s"]), (&json!("throughput"), &json!(200.0)));
        assert_eq!((&first["min"]["tasks_per_s"], &first["max"]["tasks_per_s"]), (&json!(100.0), &json!(300.0)));
        assert_eq!((&first["p50_ms"], &first["runs"], &first["own"]), (&json!(1.5), &json!(3), &json!(12350.0)));
        for name in ALWAYS {
            assert!(first.get(name).is_some(), "{name} is always there");
        }
        assert_eq!(first["p99_ms"], Value::Null);
        assert_eq!(object["results"][1]["profile"], "fast");
        assert_eq!(object["results"][2]["skipped"], "no venv");
        assert!(!report().is_good());
    }

    #[test]
    fn a_broken_promise_is_told_beside_the_figures() {
        let mut report = report();
        report.results.truncate(1);
        assert!(report.is_good());
        report.results[0].wrong.push("one task was lost\nand more".to_owned());
        assert!(!report.is_good());
        assert_eq!(report.json()["results"][0]["wrong"][0], "one task was lost\nand more");
        assert!(report.markdown().contains("**Wrong:** one task was lost\n"));
    }

    #[test]
    fn the_table_has_a_row_for_each_result() {
        let text = report().markdown();
        assert!(text.starts_with("2 processors (C), 1024 MiB, Linux 6, guest_halt_poll_ns 0, load before"), "{text}");
        assert!(text.contains("| throughput | 3 | 200 (100–300) | 1.50 (1.50–1.50) |  |"), "{text}");
        assert!(text.contains("| failover (fast) | **failed**: lost / found |"), "{text}");
        assert!(text.contains("| python | skipped: no venv |"), "{text}");
        assert!(text.contains("throughput: own 12346"), "{text}");
    }
}
