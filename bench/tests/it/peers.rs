//! Comparing with peers, without any of them: a stand-in speaks as a peer's program does. No Internet, no time asserted.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Stands for the Python of an installed peer. It starts a process that leaves its session and its environment, says
/// that it is ready, hears that it may run, and tells its figures. `$1` is the peer's program, `$3` the number of tasks.
const STAND_IN: &str = r#"#!/bin/sh
setsid env -i sleep 4711 &
echo $! >> "$0.left"
echo '{"ready": true, "version": "Stand-in 1.0"}'
read go
echo "{\"took_s\": 1000.0, \"tasks\": $3}"
read the_end
exit 0
"#;

fn bench(peers: &Path, vs: &str) -> Result<(Value, String)> {
    let out = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-bench"));
    command.args(["throughput", "--tasks", "50", "--runs", "2", "--json", "--no-install", "--vs", vs]);
    command.arg("--out").arg(out.path()).env("FLAME_PEERS", peers);
    let output = command.output().context("start flame-bench")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).context("stdout is one JSON object")?;
    Ok((report, std::fs::read_to_string(out.path().join("report.md"))?))
}

fn install_stand_in(peers: &Path, product: &str) -> Result<std::path::PathBuf> {
    let bin = peers.join(product).join("bin");
    std::fs::create_dir_all(&bin)?;
    let python = bin.join("python");
    std::fs::write(&python, STAND_IN)?;
    std::fs::set_permissions(&python, Permissions::from_mode(0o755))?;
    std::fs::write(peers.join(product).join(".installed"), "for a test")?;
    Ok(python)
}

#[test]
fn a_peer_runs_beside_ours_and_leaves_nothing() -> Result<()> {
    let peers = tempfile::tempdir()?;
    let python = install_stand_in(peers.path(), "dask")?;
    let (report, table) = bench(peers.path(), "dask,etcd")?;

    assert_eq!(report["results"].as_array().map(Vec::len), Some(1), "ours stay by themselves");
    let dask = &report["peers"][0];
    assert_eq!((&dask["workload"], &dask["peer"], &dask["runs"]), (&json!("throughput"), &json!("dask"), &json!(2)));
    // Fifty tasks in a thousand seconds.
    assert_eq!((&dask["version"], &dask["tasks_per_s"]), (&json!("Stand-in 1.0"), &json!(0.05)));
    let ours = report["results"][0]["min"]["tasks_per_s"].as_f64().context("ours has a rate")?;
    let ratio = dask["ratios"]["tasks_per_s"].as_f64().context("there is a ratio")?;
    ensure!(ratio >= ours / 0.05 * 0.99, "{ratio} with {ours} tasks/s");
    ensure!(table.contains("| throughput | dask (Stand-in 1.0) | tasks/s |"), "{table}");

    let left = std::fs::read_to_string(python.with_extension("left"))?;
    assert_eq!(left.lines().count(), 2, "it ran beside each of ours");
    for pid in left.lines() {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        ensure!(!command.contains("4711"), "process {pid} was left: {command}");
    }
    Ok(())
}

#[test]
fn peers_that_cannot_run_are_skipped_with_their_reasons() -> Result<()> {
    let peers = tempfile::tempdir()?;
    let python = install_stand_in(peers.path(), "celery")?;
    std::fs::write(python, "#!/bin/sh\necho 'no broker for a test' >&2\nexit 1\n")?;
    let (report, table) = bench(peers.path(), "etcd,celery")?;
    let peers = report["peers"].as_array().context("there are peers")?;
    let names: Vec<_> = peers.iter().filter_map(|peer| peer["peer"].as_str()).collect();
    assert_eq!(names, ["etcd-1", "etcd-16", "etcd-256", "celery"]);
    for (peer, why) in peers.iter().zip(["not installed", "not installed", "not installed", "no broker for a test"]) {
        ensure!(peer["skipped"].as_str().is_some_and(|text| text.contains(why)), "{peer}");
        assert_eq!(peer["ratios"], json!({}));
    }
    ensure!(table.contains("| throughput (etcd-16) | skipped: etcd is not installed"), "{table}");
    ensure!(report["results"][0]["tasks_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "ours ran all the same");
    Ok(())
}
