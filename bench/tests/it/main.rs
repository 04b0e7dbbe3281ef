//! The benchmark as it is run: small ones, to see that they work. No time is asserted.

mod peers;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the benchmark; the JSON object it prints, and its folder.
fn run(arguments: &[&str]) -> Result<(Value, TempDir)> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-bench"));
    command.args(arguments).args(["--runs", "1", "--json", "--out"]).arg(out.path());
    let output = command.output().context("start flame-bench")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((serde_json::from_slice(&output.stdout).context("stdout is one JSON object")?, out))
}

fn is_positive(figure: &Value) -> bool {
    figure.as_f64().is_some_and(|value| value > 0.0)
}

#[test]
fn a_small_throughput_gives_one_json_object_and_nothing_else() -> Result<()> {
    // So many that their processor time, which the system counts in hundredths of a second, is more than nothing.
    let (report, out) = run(&["throughput", "--tasks", "3000"])?;
    let result = &report["results"][0];
    assert_eq!(result["workload"], "throughput");
    for figure in ["tasks_per_s", "cpu_s_per_1000", "p50_ms", "p99_ms", "pss_mb"] {
        ensure!(is_positive(&result[figure]), "{figure} is {}", result[figure]);
    }
    ensure!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{}", report["machine"]);
    let written = std::fs::read_to_string(out.path().join("report.md"))?;
    ensure!(written.contains("| throughput | 1 |"), "{written}");
    Ok(())
}

#[test]
fn what_waits_is_counted_and_outlives_its_coordinators() -> Result<()> {
    let (report, _out) = run(&["queue-1m", "restart-1m", "--tasks", "300"])?;
    let [queue, restart] = [0, 1].map(|at| &report["results"][at]);
    for figure in ["submits_per_s", "array_ms", "bytes_per_task_per_replica"] {
        ensure!(is_positive(&queue[figure]), "{figure} is {}", queue[figure]);
    }
    assert_eq!((restart["served"].as_f64(), restart["lost"].as_f64()), (Some(300.0), Some(0.0)));
    ensure!(is_positive(&restart["first_result_s"]), "{restart}");
    Ok(())
}
