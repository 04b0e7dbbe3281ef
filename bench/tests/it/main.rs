//! The benchmark as it is run: a small one, to see that it works. No time is asserted.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[test]
fn a_small_throughput_gives_one_json_object_and_nothing_else() -> Result<()> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-bench"));
    command.args(["throughput", "--tasks", "200", "--runs", "1", "--json", "--out"]).arg(out.path());
    let output = command.output().context("start flame-bench")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).context("stdout is one JSON object")?;
    let result = &report["results"][0];
    assert_eq!(result["workload"], "throughput");
    for figure in ["tasks_per_s", "cpu_s_per_1000", "p50_ms", "p99_ms", "pss_mb"] {
        ensure!(result[figure].as_f64().is_some_and(|value| value > 0.0), "{figure} is {}", result[figure]);
    }
    ensure!(report["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{}", report["machine"]);
    let written = std::fs::read_to_string(out.path().join("report.md"))?;
    ensure!(written.contains("| throughput | 1 |"), "{written}");
    Ok(())
}
