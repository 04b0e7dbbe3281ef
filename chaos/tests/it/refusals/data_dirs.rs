//! Data directories that are not this node's own, that somebody uses, or that are damaged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Cluster, ClusterOptions};

use super::files::{
    ANY_PORTS, READY, changed, config, coordinator, copy, data, files, flip, line_of, refused, stop_all,
};

const IN_USE_OR_FOREIGN: i32 = 10;
pub const DAMAGED: i32 = 11;
pub const QUARANTINE: i32 = 13;

/// What a refusal of somebody else's directory ends with.
const OWN_DIRECTORY: &str = "give this node a directory of its own (coordinator.data_dir)";

/// What damaged rows end with. See [`super::damaged_rows`] for whether it helps.
pub const MAKE_AGAIN: &str = "remove that directory and start this node again: it makes the rows again from its log";

/// What a damaged log ends with.
const REJOIN: &str = "wipe the directory and let the node join under a new id";

/// Everything that a cluster leaves on its disks, with something in every part of it.
pub async fn used_cluster() -> Result<Cluster> {
    let mut cluster = Cluster::start(ClusterOptions { workers: 0, ..ClusterOptions::default() }).await?;
    let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    for number in 0..20 {
        let id = Some(format!("kept-{number}"));
        let session = client.create_session(&SessionOptions { id, ..SessionOptions::new("flmping") }).await?;
        client.create_task(&session.metadata.id, Some(vec![7; 2000].into())).await?;
    }
    // The second start moves what the first wrote into tables.
    stop_all(&mut cluster).await?;
    cluster.start_all_coordinators().await?;
    cluster.leader().await?;
    client.create_session(&SessionOptions { id: Some("later".to_owned()), ..SessionOptions::new("flmping") }).await?;
    Ok(cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_uses_its_own_undamaged_directory_only() -> Result<()> {
    let mut cluster = used_cluster().await?;
    let outcome = steps(&mut cluster).await;
    outcome.with_context(|| cluster.tails())?;
    // Nothing of all this has touched the originals.
    cluster.start_all_coordinators().await?;
    cluster.leader().await?;
    let client = Connection::open(Endpoints::parse(&cluster.endpoints())?, Options::default())?;
    assert_eq!(client.list_sessions(None, None).await?.len(), 21);
    cluster.shutdown().await
}

async fn steps(cluster: &mut Cluster) -> Result<()> {
    let (one, two) = (config(cluster, 1), config(cluster, 2));
    let in_use = ["in use by another process", OWN_DIRECTORY];
    refused(&one, &data(cluster, 1), &ANY_PORTS, IN_USE_OR_FOREIGN, &in_use).await?;
    stop_all(cluster).await?;

    let words = ["belongs to coordinator 1, this is coordinator 2", OWN_DIRECTORY];
    refused(&two, &data(cluster, 1), &ANY_PORTS, IN_USE_OR_FOREIGN, &words).await?;
    let name = line_of(&one, "  name: ")?;
    let other = changed(&one, "other-name.yaml", &name, "  name: other")?;
    let words = ["belongs to cluster \"test-", "this node is of cluster \"other\"", OWN_DIRECTORY];
    refused(&other, &data(cluster, 1), &ANY_PORTS, IN_USE_OR_FOREIGN, &words).await?;

    let scratch = tempfile::tempdir()?;
    intact_copies_start(&one, &data(cluster, 1), scratch.path()).await?;
    damage(&one, &data(cluster, 1), scratch.path()).await?;
    loss(&one, &data(cluster, 1), scratch.path()).await
}

/// What the tests below would not notice otherwise: that a copy is as good as the original.
async fn intact_copies_start(config: &Path, data: &Path, scratch: &Path) -> Result<()> {
    let intact = scratch.join("intact");
    copy(data, &intact)?;
    let mut running = coordinator(config, &intact, &ANY_PORTS)?;
    running.says(READY).await?;
    running.end_by(rustix::process::Signal::TERM).await?.with_code(0).map(drop)
}

/// One bit, in any file that holds data.
async fn damage(config: &Path, data: &Path, scratch: &Path) -> Result<()> {
    let mut tables = 0;
    for ending in [".log", ".sst"] {
        for file in files(&data.join("log"), ending)? {
            let copied = damaged_copy(data, &file, scratch)?;
            refused(config, &copied, &ANY_PORTS, DAMAGED, &["the Raft log in ", " is damaged: ", REJOIN])
                .await
                .with_context(|| format!("a bit of {} is turned over", file.display()))?;
            tables += usize::from(ending == ".sst");
        }
    }
    ensure!(tables > 0, "the log has no table: nothing but its write-ahead log was damaged");
    let mut found = 0;
    for file in files(&data.join("state"), ".sst")? {
        let copied = damaged_copy(data, &file, scratch)?;
        let mut running = coordinator(config, &copied, &ANY_PORTS)?;
        // Rows of what has ended are read when somebody asks for them, not at the start.
        if running.says(READY).await.is_ok() {
            running.kill().await?;
            continue;
        }
        running.ended().await?.refused(DAMAGED, &["the state rows in ", " are damaged: ", MAKE_AGAIN])?;
        found += 1;
    }
    ensure!(found > 0, "no damage of the live rows was found");
    Ok(())
}

/// A copy of the data with one bit turned over, in the middle of this file.
fn damaged_copy(data: &Path, file: &Path, scratch: &Path) -> Result<PathBuf> {
    let within = file.strip_prefix(data)?;
    let copied = scratch.join(within.to_string_lossy().replace('/', "-"));
    copy(data, &copied)?;
    flip(&copied.join(within))?;
    Ok(copied)
}

/// The log is gone, or the end of it: the node has promised more than it has.
async fn loss(config: &Path, data: &Path, scratch: &Path) -> Result<()> {
    for (name, lose) in [("no-log", lose_log as fn(&Path) -> Result<()>), ("short-log", cut_log)] {
        let copied = scratch.join(name);
        copy(data, &copied)?;
        lose(&copied)?;
        let ended = coordinator(config, &copied, &ANY_PORTS)?.ended().await.with_context(|| name.to_owned())?;
        let code = ended.code.unwrap_or_default();
        ensure!([DAMAGED, QUARANTINE].contains(&code), "{name}: {}", ended.story());
        ended.refused(code, &["under a new id"])?;
    }
    Ok(())
}

fn lose_log(data: &Path) -> Result<()> {
    Ok(std::fs::remove_dir_all(data.join("log"))?)
}

fn cut_log(data: &Path) -> Result<()> {
    for path in files(&data.join("log"), ".log")? {
        std::fs::OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}
