//! `flmctl dev`: a cluster that works, and of which nothing is left when its user presses Ctrl-C.

use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flame_testkit::wait_until;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::sheet::{Table, line};
use crate::programs::{Environment, LIMIT, Running, run_with};

const DAEMONS: [&str; 5] = ["1", "2", "3", "cache", "w1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_for_one_user_serves_and_leaves_nothing_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_str().context("a folder with a strange name")?;
    let environment = [("TMPDIR", place)];
    // What its user's shell says of an earlier cluster is not for the daemons of this one.
    let of_before = [("TMPDIR", place), ("FLAME_CACHE_ENDPOINT", "grpc://127.0.0.1:1")];
    let mut dev = Running::start_with(&of_before, "flmctl", &["dev", "--workers", "1"])?;
    dev.says("The cluster runs; Ctrl-C ends it.").await?;
    let said = dev.stdout();
    let endpoints = what_it_says(&environment, &said).await?;

    // As it says itself what comes next.
    let environment = [("TMPDIR", place), ("FLAME_ENDPOINT", &endpoints)];
    let nodes = run_with(&environment, "flmctl", &["list", "-n"]).await?.with_code(0)?;
    assert_eq!(Table::read(&nodes.stdout)?.row("NAME", "w1")?["STATUS"], "Ready");
    let ping = run_with(&environment, "flmping", &["--perf", "-t", "100"]).await?.with_code(0)?;
    assert_eq!(line(&ping.stdout, "Succeeded")?, "100/100", "{}", ping.story());

    let cache = said.split("export FLAME_CACHE_ENDPOINT=").nth(1).and_then(|rest| rest.lines().next());
    let cache = cache.context("it does not say where the cache is")?;
    wait_until(LIMIT, "the cache is known by its own address", || async {
        let list = run_with(&environment, "flmctl", &["cache", "list"]).await?.with_code(0)?;
        ensure!(list.stdout.contains(cache), "{}", list.story());
        Ok(())
    })
    .await?;

    // Ctrl-C in the middle of work: services run as well.
    let busy = Running::start_with(&environment, "flmping", &["-t", "2", "-d", "600000"])?;
    wait_until(LIMIT, "a service runs", || async {
        let list = run_with(&environment, "flmctl", &["list", "-e"]).await?.with_code(0)?;
        ensure!(list.stdout.contains("Bound"), "{}", list.story());
        Ok(())
    })
    .await?;
    let running = processes_of(place)?;
    ensure!(running.iter().any(|process| process.contains("flmping-service")), "{running:#?}");
    let ended = dev.end_by(Signal::INT).await?.with_code(0)?;
    assert_eq!(ended.stderr, "The cluster runs; Ctrl-C ends it.\n", "{}", ended.story());
    busy.kill().await?;
    nothing_is_left(place, &endpoints)
}

/// A row for each daemon, and the next command; gives the endpoints that it names. `status` says the same.
async fn what_it_says(environment: Environment<'_>, said: &str) -> Result<String> {
    let table = Table::read(said)?;
    assert_eq!(table.column("Name"), DAEMONS, "{said}");
    assert_eq!(table.column("State"), ["Running"; 5], "{said}");
    let status = run_with(environment, "flmctl", &["dev", "status"]).await?.with_code(0)?;
    assert_eq!(status.stdout, said, "dev status");
    let status = run_with(environment, "flmctl", &["dev", "status", "-o", "json"]).await?.with_code(0)?.json()?;
    assert_eq!(status["ready"], true);
    let daemons: Vec<&Value> = status["daemons"].as_array().into_iter().flatten().collect();
    for (row, daemon) in table.rows.iter().zip(daemons) {
        assert_eq!(json!(row["PID"].parse::<u32>()?), daemon["pid"], "{row:?}");
        let program = std::fs::read_link(format!("/proc/{}/exe", row["PID"]))?;
        ensure!(program.ends_with(format!("flame-{}", row["Kind"])), "{} is {}", row["Name"], program.display());
    }
    let next = said.split("export FLAME_ENDPOINT=").nth(1).and_then(|rest| rest.lines().next());
    Ok(next.with_context(|| said.to_owned())?.to_owned())
}

/// No process, no file, no socket, no port.
fn nothing_is_left(place: &str, endpoints: &str) -> Result<()> {
    let left = processes_of(place)?;
    ensure!(left.is_empty(), "still there: {left:#?}");
    let files: Vec<_> = std::fs::read_dir(place)?.flatten().map(|entry| entry.path()).collect();
    ensure!(files.is_empty(), "left in the folder for temporary files: {files:?}");
    let endpoints: Vec<_> = endpoints.split(',').collect();
    assert_eq!(endpoints.len(), 3, "{endpoints:?}");
    for endpoint in endpoints {
        let address = endpoint.strip_prefix("http://").with_context(|| endpoint.to_owned())?;
        ensure!(TcpStream::connect(address).is_err(), "somebody listens on {address}");
    }
    Ok(())
}

/// The command lines of processes whose command line or environment names this folder.
fn processes_of(place: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten().filter(|entry| is_process(&entry.path())) {
        // A process that ends while we look is not left; one that is not ours to read is not ours.
        let look = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (words, variables) = (look("cmdline"), look("environ"));
        if [&words, &variables].iter().any(|bytes| String::from_utf8_lossy(bytes).contains(place)) {
            found.push(String::from_utf8_lossy(&words).replace('\0', " "));
        }
    }
    Ok(found)
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}
