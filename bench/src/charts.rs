//! Charts of a report beside its peers, as SVG files: rates with what they cost, and latencies.
//!
//! Made from the JSON object, so that they can be drawn again from a report that was kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bars::{Chart, Dot, Row, Shade};
use crate::figures::{CPU_S_PER_1000, P50_MS, P99_MS, TASKS_PER_S};
use crate::peers::peer::{self, Peer};

/// Draws what the report has, and says which files were written.
///
/// # Errors
/// If a file cannot be written.
pub fn write(report: &Value, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (name, chart) in [("throughput", throughput(report)), ("latency", latency(report))] {
        let Some(chart) = chart else { continue };
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, chart).with_context(|| format!("write {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// Draws a report that was kept.
///
/// # Errors
/// If the file is no report, or has nothing to draw.
pub fn draw_again(report: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    let report: Value = serde_json::from_str(&text).context("the report is no JSON object")?;
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let written = write(&report, folder)?;
    ensure!(!written.is_empty(), "the report has neither throughput nor latency");
    Ok(written)
}

/// One system in a workload: ours or a peer.
struct Entry<'a> {
    title: String,
    shade: Shade,
    result: &'a Value,
}

impl Entry<'_> {
    fn dot(&self, name: &str) -> Option<Dot> {
        let value = self.result[name].as_f64()?;
        let end = |end: &str| self.result[end][name].as_f64().unwrap_or(value);
        Some(Dot { value, min: end("min"), max: end("max") })
    }

    fn row(&self, names: [&str; 2]) -> Option<Row> {
        let values = [self.dot(names[0])?, self.dot(names[1])?];
        Some(Row { title: self.title.clone(), shade: self.shade, values })
    }
}

fn throughput(report: &Value) -> Option<String> {
    let mut entries = entries(report, "throughput");
    // Ours once more as clients of the published calls see it.
    entries.extend(ours(report, "throughput-unary", "Flame HA, one call per task"));
    let chart = Chart {
        title: "How many tasks a second, and what a thousand cost",
        subtitle: subtitle(report, &entries),
        panels: ["tasks per second (more is better)", "CPU seconds per 1,000 tasks (less is better)"],
        rows: sorted(entries.iter().filter_map(|entry| entry.row([TASKS_PER_S, CPU_S_PER_1000]))),
    };
    (!chart.rows.is_empty()).then(|| chart.svg())
}

fn latency(report: &Value) -> Option<String> {
    let entries = entries(report, "latency");
    let chart = Chart {
        title: "One task after the other: from submit to result",
        subtitle: subtitle(report, &entries),
        panels: ["p50, ms (less is better)", "p99, ms (less is better)"],
        rows: entries.iter().filter_map(|entry| entry.row([P50_MS, P99_MS])).collect(),
    };
    (!chart.rows.is_empty()).then(|| chart.svg())
}

/// Ours, then the peers beside it.
fn entries<'a>(report: &'a Value, workload: &str) -> Vec<Entry<'a>> {
    let mut entries = ours(report, workload, "Flame HA");
    let peers = of_workload(&report["peers"], workload);
    entries.extend(peers.filter_map(|result| {
        let peer = known(result["peer"].as_str()?)?;
        let shade = if peer.product.is_replicated() { Shade::Replicated } else { Shade::InMemory };
        Some(Entry { title: peer.title.to_owned(), shade, result })
    }));
    entries
}

fn ours<'a>(report: &'a Value, workload: &str, title: &str) -> Vec<Entry<'a>> {
    let results = of_workload(&report["results"], workload);
    results.map(|result| Entry { title: title.to_owned(), shade: Shade::Ours, result }).collect()
}

fn of_workload<'a>(results: &'a Value, workload: &str) -> impl Iterator<Item = &'a Value> {
    let all = results.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(move |result| result["workload"] == workload)
}

fn known(name: &str) -> Option<&'static Peer> {
    peer::ALL.iter().find(|peer| peer.name == name)
}

/// The fastest first.
fn sorted(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| b.values[0].value.total_cmp(&a.values[0].value));
    rows
}

/// Where it was measured, and how disturbed.
fn subtitle(report: &Value, entries: &[Entry<'_>]) -> String {
    let machine = &report["machine"];
    let (cores, cpu) = (machine["cores"].as_u64().unwrap_or_default(), machine["cpu"].as_str().unwrap_or_default());
    let foreign = entries.iter().filter_map(|entry| entry.result["foreign_cpu"].as_f64()).fold(0.0, f64::max);
    format!("{cores} processors ({cpu}); others used up to {:.0} % of them meanwhile", foreign * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        let figures = |rate: f64| {
            json!({ "workload": "throughput", "tasks_per_s": rate, "cpu_s_per_1000": 0.5, "foreign_cpu": 0.25,
                    "min": { "tasks_per_s": rate / 2.0 }, "max": { "tasks_per_s": rate * 1.5 } })
        };
        let peer = |name: &str, rate| {
            let mut figures = figures(rate);
            figures["peer"] = json!(name);
            figures
        };
        let skipped = json!({ "workload": "throughput", "peer": "dask", "skipped": "no network" });
        json!({
            "machine": { "cores": 2, "cpu": "C <1>" },
            "results": [figures(9_000.0), { "workload": "failover", "tasks_per_s": null }],
            "peers": [peer("ray-tasks", 1_500.0), peer("etcd-256", 10_000.0), skipped],
        })
    }

    #[test]
    fn what_was_measured_is_drawn_and_the_rest_is_not() {
        let text = throughput(&report()).expect("there is a throughput");
        for shown in ["Flame HA", "Ray tasks", "etcd puts, 256 clients", "2 processors (C &lt;1&gt;)", "up to 25 %"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(!text.contains("Dask"), "it was skipped");
        let place = |title: &str| text.find(title).expect("it is there");
        assert!(place("etcd puts, 256") < place(">Flame HA<") && place(">Flame HA<") < place("Ray tasks"), "{text}");
        assert_eq!(latency(&report()), None);
    }

    #[test]
    fn a_report_that_was_kept_can_be_drawn_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let kept = folder.path().join("report.json");
        std::fs::write(&kept, report().to_string())?;
        let charts = folder.path().join("charts");
        assert_eq!(draw_again(&kept, &charts)?, [charts.join("throughput.svg")]);
        assert!(charts.join("throughput.svg").is_file());
        std::fs::write(&kept, "{}")?;
        assert!(draw_again(&kept, &charts).is_err(), "there is nothing to draw");
        Ok(())
    }
}
