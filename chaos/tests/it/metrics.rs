//! What the nodes of a cluster say of themselves is true: figures against what was done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_chaos::run::{Run, RunOptions, Workload};
use flame_testkit::{ClusterOptions, wait_until};
use flame_types::CoordinatorId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(60);

const TASKS: u64 = 300;

/// What one GET was answered with.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A GET as a scraper makes it, and nothing else.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no head in {text:?}"))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body)? } else { body.to_owned() };
        Ok(Answer { status: status.with_context(|| format!("no status in {head:?}"))?, body })
    };
    tokio::time::timeout(LIMIT, exchange).await.with_context(|| format!("no answer from {address}{path}"))?
}

/// The chunks of a body that came without its length.
fn joined(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (length, chunk) = rest.split_once("\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(length.trim(), 16).context("the length of a chunk")?;
        if length == 0 {
            return Ok(body);
        }
        body += chunk.get(..length).context("a chunk that is shorter than it says")?;
        rest = chunk.get(length..).and_then(|rest| rest.strip_prefix("\r\n")).context("a chunk without an end")?;
    }
}

/// All series of one scrape, by name and labels as they are written.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads every line: each is a comment with help or type, or a series with a number, and every series has both.
    fn parse(text: &str) -> Result<Self> {
        let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').with_context(|| format!("no help in {line:?}"))?;
                ensure!(help.ends_with('.') && helped.insert(name), "{line:?}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').with_context(|| format!("no type in {line:?}"))?;
                ensure!(["counter", "gauge", "histogram"].contains(&kind), "{line:?}");
                ensure!(typed.insert(name, kind).is_none(), "{name} has two types");
            } else {
                let (name, value) = line.rsplit_once(' ').with_context(|| format!("no value in {line:?}"))?;
                let value: f64 = value.parse().with_context(|| format!("no number in {line:?}"))?;
                ensure!(series.insert(name.to_owned(), value).is_none(), "{name} is there twice");
            }
        }
        ensure!(helped.iter().eq(typed.keys()), "help: {helped:?}\ntypes: {typed:?}");
        for name in series.keys() {
            let base = name.split('{').next().unwrap_or(name);
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| base.strip_suffix(end));
            let is_known =
                typed.contains_key(base) || of_histogram.is_some_and(|base| typed.get(base) == Some(&"histogram"));
            ensure!(is_known, "{name} has neither help nor type");
        }
        for name in typed.keys() {
            ensure!(series.keys().any(|series| series.starts_with(name)), "{name} has no series");
        }
        Ok(Self(series))
    }

    async fn of(address: &str) -> Result<Self> {
        let answer = get(address, "/metrics").await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        Self::parse(&answer.body)
    }

    fn value(&self, series: &str) -> Result<f64> {
        self.0.get(series).copied().with_context(|| format!("no {series}"))
    }

    fn check(&self, series: &str, expected: f64) -> Result<()> {
        let value = self.value(series)?;
        ensure!(value == expected, "{series} is {value}, not {expected}");
        Ok(())
    }

    fn check_some(&self, series: &str) -> Result<()> {
        let value = self.value(series)?;
        ensure!(value > 0.0, "{series} is {value}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_what_happened_and_one_of_them_that_it_leads() -> Result<()> {
    let mut run = Run::start(RunOptions { cluster: ClusterOptions::default(), services_max: 4, window: 300 }).await?;
    run.load.submit(Workload { tasks: TASKS, slow_every: TASKS, slow: Duration::ZERO }, "metrics").await?;
    run.load.settle(TASKS).await?;
    let leader = run.cluster.leader().await?.id;
    let mut addresses: BTreeMap<CoordinatorId, String> = BTreeMap::new();
    for id in run.cluster.coordinator_ids() {
        addresses.insert(id, run.cluster.metrics_address(id).await?);
    }
    let mut leaders = 0.0;
    for (id, address) in &addresses {
        // A follower may apply the last of it a moment later.
        let scrape = wait_until(LIMIT, "a node has applied everything", || async {
            let scrape = Scrape::of(address).await?;
            scrape.check("flame_tasks_total{event=\"succeeded\"}", TASKS as f64)?;
            Ok(scrape)
        })
        .await?;
        check_node(&scrape).with_context(|| format!("coordinator {id}"))?;
        scrape.check("flame_raft_is_leader", if *id == leader { 1.0 } else { 0.0 })?;
        leaders += scrape.value("flame_raft_is_leader")?;
        if *id == leader {
            check_leader(&scrape).context("the leader")?;
        }
        for path in ["/livez", "/readyz"] {
            let answer = get(address, path).await?;
            ensure!((answer.status, answer.body.trim()) == (200, "ok"), "{path}: {} {}", answer.status, answer.body);
        }
        ensure!(get(address, "/other").await?.status == 404, "there is no other page");
    }
    ensure!(leaders == 1.0, "{leaders} nodes lead");
    run.cluster.shutdown().await
}

fn check_node(scrape: &Scrape) -> Result<()> {
    for (series, expected) in [
        ("flame_tasks_total{event=\"submitted\"}", TASKS as f64),
        ("flame_tasks_total{event=\"failed\"}", 0.0),
        ("flame_tasks{state=\"pending\"}", 0.0),
        ("flame_tasks{state=\"running\"}", 0.0),
        ("flame_workers{state=\"attached\"}", 1.0),
        ("flame_cache_nodes{state=\"attached\"}", 0.0),
        ("flame_objects", 0.0),
        ("flame_raft_has_leader", 1.0),
        ("flame_state_answered", 1.0),
        ("flame_rocksdb_writes_stopped{database=\"log\"}", 0.0),
        ("flame_gateway_commands{state=\"waiting\"}", 0.0),
        ("flame_batcher_queued_bytes", 0.0),
        ("flame_log_queue_bytes", 0.0),
    ] {
        scrape.check(series, expected)?;
    }
    for series in [
        "flame_tasks_total{event=\"started\"}",
        "flame_commands_total{outcome=\"done\"}",
        "flame_sessions{state=\"open\"}",
        "flame_raft_term",
        "flame_raft_leader_changes_total",
        "flame_raft_log_index{point=\"applied\"}",
        "flame_log_sync_seconds_count",
        "flame_log_sync_seconds_sum",
        "flame_log_group_entries_count",
        "flame_log_appended_bytes_total",
        "flame_log_tail_bytes",
        "flame_apply_seconds_count",
        "flame_rocksdb_memtable_bytes{database=\"log\"}",
        "flame_rocksdb_memtable_bytes{database=\"state\"}",
        "flame_memory_bytes{share=\"log_tail\"}",
        "flame_memory_limit_bytes{share=\"log_tail\"}",
        "flame_disk_bytes{room=\"free\"}",
        "flame_disk_bytes{room=\"floor\"}",
        "flame_process_resident_bytes",
    ] {
        scrape.check_some(series)?;
    }
    let (starts, retries) = ("flame_tasks_total{event=\"started\"}", "flame_tasks_total{event=\"retried\"}");
    let first_starts = scrape.value(starts)? - scrape.value(retries)?;
    ensure!(first_starts <= TASKS as f64, "{first_starts} tasks of {TASKS} have begun");
    Ok(())
}

fn check_leader(scrape: &Scrape) -> Result<()> {
    for series in [
        "flame_entry_commands_count",
        "flame_entry_commit_seconds_count",
        "flame_entry_settle_seconds_count",
        "flame_entry_bytes_sum",
    ] {
        scrape.check_some(series)?;
    }
    scrape.check("flame_streams{kind=\"workers\"}", 1.0)?;
    let (commit, settle) = ("flame_entry_commit_seconds_sum", "flame_entry_settle_seconds_sum");
    ensure!(scrape.value(commit)? <= scrape.value(settle)?, "entries are applied before they are committed");
    Ok(())
}
