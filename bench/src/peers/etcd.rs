//! Three members of etcd with its defaults, on disk and with fsync, and clients that put values of 100 bytes.
//!
//! The nearest thing to what a task of ours must do at least twice: an entry on the disks of a majority before it is
//! acknowledged. Nothing is scheduled, run or sent back.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use flame_testkit::{PortLease, wait_until};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::accounting::{Kind, Snapshot};
use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::costs;
use crate::peers::etcd_client::{Member, put_all};
use crate::peers::family::Family;
use crate::peers::peer::{Mode, Played};
use crate::peers::script::{FOLDER_PREFIX, SETTLE, tail};
use crate::settings::Settings;
use crate::statistics::Latencies;

const MEMBERS: usize = 3;
const WARM_UP: u64 = 200;
const START_LIMIT: Duration = Duration::from_secs(60);

/// Lets the kernel end a member when this process dies, however it dies.
const DIE_WITH_US: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// A running cluster.
struct Servers {
    family: Family,
    ports: Vec<u16>,
    log: std::path::PathBuf,
    _children: Vec<Child>,
    _leases: [PortLease; 2],
    _folder: TempDir,
}

/// One run with a cluster of its own.
///
/// # Errors
/// If a put is not acknowledged, a value is wrong, or a member cannot be ended.
pub async fn play(clients: usize, installed: &Path, mode: Mode, tasks: u64, settings: &Settings) -> Result<Played> {
    let program = installed.join("usr/bin/etcd");
    let version = match version(&program).await {
        Ok(version) => version,
        Err(error) => return Ok(Played::NotStarted(format!("{error:#}"))),
    };
    let began = Instant::now();
    let servers = Servers::start(&program)?;
    let mut members = servers.members()?;
    let nearest = settings.pick(members.len());
    members.rotate_left(nearest);
    let first_put = wait_until(START_LIMIT, "the first put", || members[0].put(0)).await;
    if let Err(error) = first_put {
        return Ok(Played::NotStarted(format!("{error:#}{}", tail(&servers.log))));
    }
    let started = began.elapsed();
    let figures = match mode {
        Mode::ColdStart => servers.idle(started).await,
        Mode::Throughput | Mode::Latency => servers.load(&members, clients, tasks).await,
        Mode::Objects => Err(anyhow!("it is no store of objects")),
    };
    let figures = figures.map_err(|error| anyhow!("{error:#}{}", tail(&servers.log)))?;
    servers.family.end(Duration::ZERO).await?;
    Ok(Played::Measured { version, figures })
}

impl Servers {
    fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().context("make a folder for etcd")?;
        let leases = [PortLease::take()?, PortLease::take()?];
        let at = |lease: &PortLease| (0..MEMBERS as u16).map(|position| lease.port(position)).collect::<Vec<_>>();
        let (ports, peers) = (at(&leases[0]), at(&leases[1]));
        let family = Family::new();
        let log = folder.path().join("peer.log");
        let file = File::create(&log).context("create the log")?;
        let mut children = Vec::new();
        for member in 0..MEMBERS {
            let mut command = Command::new(DIE_WITH_US[0]);
            command.args(&DIE_WITH_US[1..]).arg(program).args(arguments(member, &ports, &peers));
            command.current_dir(folder.path()).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file.try_clone().context("share the log")?);
            family.adopt(&mut command);
            children.push(command.spawn().context("start etcd")?);
        }
        Ok(Self { family, ports, log, _children: children, _leases: leases, _folder: folder })
    }

    fn members(&self) -> Result<Vec<Member>> {
        self.ports.iter().map(|port| Member::at(*port)).collect()
    }

    async fn load(&self, members: &[Member], clients: usize, tasks: u64) -> Result<Figures> {
        put_all(members, clients, 0, WARM_UP).await?;
        let before = Snapshot::take(&self.processes())?;
        let puts = put_all(members, clients, WARM_UP, tasks).await?;
        let costs = costs(&before, &self.processes(), tasks)?;
        members[0].check_all(WARM_UP + tasks).await?;
        let mut figures = Figures::default();
        figures.set(TASKS_PER_S, tasks as f64 / puts.took.as_secs_f64().max(f64::MIN_POSITIVE));
        figures.set_latencies(&Latencies::of(puts.latencies));
        figures.extend(costs);
        Ok(figures)
    }

    async fn idle(&self, started: Duration) -> Result<Figures> {
        let before = Snapshot::take(&self.processes())?;
        sleep(SETTLE).await;
        let costs = costs(&before, &self.processes(), 1)?;
        let mut figures = Figures::default();
        figures.set("first_result_ms", started.as_secs_f64() * 1000.0);
        for (name, value) in costs.iter().filter(|(name, _)| name.starts_with("pss_mb")) {
            figures.set(name, value);
        }
        Ok(figures)
    }

    /// This process is the client.
    fn processes(&self) -> BTreeMap<u32, Kind> {
        let members = self.family.members().into_iter().map(|pid| (pid, Kind::Peer));
        members.chain([(std::process::id(), Kind::Client)]).collect()
    }
}

async fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.with_context(|| format!("start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.lines().find_map(|line| line.strip_prefix("etcd Version:"));
    Ok(format!("etcd {}", number.context("etcd does not tell its version")?.trim()))
}

/// Everything that is not here is as etcd has it by itself: a heartbeat of 100 ms, elections after 1,000 ms.
fn arguments(member: usize, ports: &[u16], peers: &[u16]) -> Vec<String> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let all: Vec<_> = peers.iter().enumerate().map(|(at, port)| format!("member-{at}={}", url(*port))).collect();
    let options = [
        ("name", format!("member-{member}")),
        ("data-dir", format!("member-{member}")),
        ("listen-client-urls", url(ports[member])),
        ("advertise-client-urls", url(ports[member])),
        ("listen-peer-urls", url(peers[member])),
        ("initial-advertise-peer-urls", url(peers[member])),
        ("initial-cluster", all.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        ("logger", "zap".to_owned()),
        ("log-outputs", "stderr".to_owned()),
    ];
    options.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_know_each_other_and_listen_on_loopback_only() {
        let words = arguments(1, &[10, 11, 12], &[20, 21, 22]);
        assert!(words.contains(&"--listen-client-urls=http://127.0.0.1:11".to_owned()), "{words:?}");
        let all = "member-0=http://127.0.0.1:20,member-1=http://127.0.0.1:21,member-2=http://127.0.0.1:22";
        assert!(words.contains(&format!("--initial-cluster={all}")), "{words:?}");
        assert!(!words.iter().any(|word| word.contains("0.0.0.0")), "{words:?}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_started() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let settings = Settings { tasks: None, seconds: None, seed: 1, profile: None, folder: folder.path().into() };
        let played = play(1, folder.path(), Mode::Throughput, 10, &settings).await?;
        assert!(matches!(&played, Played::NotStarted(why) if why.contains("usr/bin/etcd")), "{played:?}");
        Ok(())
    }
}
