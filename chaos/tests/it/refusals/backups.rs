//! Backups that cannot be used, and directories that are not restored into or recovered.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flame_testkit::{Cluster, ClusterOptions};
use tempfile::TempDir;

use super::files::{ANY_PORTS, changed, config, data, flip, id, line_of, refused, stop_all};
use crate::programs::{Ended, run};

const BAD_BACKUP: i32 = 18;
const IN_USE_OR_FOREIGN: i32 = 10;
const USAGE: i32 = 2;

/// Of `flmctl`.
const FAILED: i32 = 1;
const CONFLICT: i32 = 6;

struct Scene {
    cluster: Cluster,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Result<Self> {
        let options = ClusterOptions { coordinators: 1, workers: 0, ..ClusterOptions::default() };
        Ok(Self { cluster: Cluster::start(options).await?, folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn flmctl(&self, words: &[&str]) -> Result<Ended> {
        run("flmctl", &[words, &["--endpoint", &self.cluster.endpoints().join(",")]].concat()).await
    }

    async fn backup(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        let ended = self.flmctl(&["cluster", "backup", text(&path), "-o", "json"]).await?.with_code(0)?;
        let taken = ended.json()?;
        ensure!(taken["confirmed"] == true && taken["bytes"] == fs::metadata(&path)?.len(), "{taken}");
        Ok(path)
    }

    /// A restore into a new directory by a cluster of another name.
    async fn restore(&self, backup: &Path, data: &Path) -> Result<Ended> {
        let name = line_of(&config(&self.cluster, 1), "  name: ")?;
        let config = changed(&config(&self.cluster, 1), "another.yaml", &name, "  name: another")?;
        let words = ["--config", text(&config), "--data-dir", text(data), "restore", text(backup)];
        run("flame-coordinator", &words).await
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_used_is_told_from_a_good_one() -> Result<()> {
    let scene = Scene::start().await?;
    let good = scene.backup("good").await?;
    let again = scene.flmctl(&["cluster", "backup", text(&good)]).await?;
    again.complained(CONFLICT, &["is there already", "--force"])?;
    scene.flmctl(&["cluster", "backup", text(&good), "--force"]).await?.with_code(0)?;
    ensure!(fs::read_dir(scene.folder.path())?.count() == 1, "nothing lies beside it");
    let verified = scene.flmctl(&["cluster", "backup", "--verify", text(&good)]).await?.with_code(0)?;
    ensure!(verified.stdout.starts_with("The backup is whole.\n"), "{}", verified.story());

    let bytes = fs::read(&good)?;
    let bad = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        fs::write(scene.path(name), bytes)?;
        Ok(scene.path(name))
    };
    let cut = bad("cut", &bytes[..bytes.len() - 7])?;
    let flipped = bad("flipped", &bytes)?;
    flip(&flipped)?;
    let other = bad("other", b"metadata:\n  name: an application, not a backup\n")?;
    let mut newer = bytes.clone();
    newer[8] = 9;
    let newer = bad("newer", &newer)?;
    for (file, why) in
        [(cut, "ends too early"), (flipped, "is damaged"), (other, "not a backup"), (newer, "use a newer release")]
    {
        let data = scene.path("never");
        scene.restore(&file, &data).await?.refused(BAD_BACKUP, &["the backup cannot be used", why])?;
        let verify = scene.flmctl(&["cluster", "backup", "--verify", text(&file)]).await?;
        verify.refused(FAILED, &["the backup cannot be used", why])?;
        // What a damaged file has begun is not served from, and the same command with a good one makes up for it.
        if data.exists() {
            let another = config(&scene.cluster, 1).with_file_name("another.yaml");
            refused(&another, &data, &ANY_PORTS, IN_USE_OR_FOREIGN, &["was begun and is not finished"]).await?;
        }
    }
    scene.restore(&good, &scene.path("never")).await?.with_code(0)?;
    let full = scene.restore(&good, &scene.path("never")).await?;
    full.refused(IN_USE_OR_FOREIGN, &["is not empty"])?;
    let absent = scene.restore(&scene.path("absent"), &scene.path("other-data")).await?;
    absent.refused(1, &["cannot open"])?;
    scene.cluster.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_restored_into_or_recovered_only_on_purpose() -> Result<()> {
    let mut scene = Scene::start().await?;
    let (good, own) = (scene.backup("good").await?, data(&scene.cluster, 1));
    // Of the cluster whose backup it is, and into a directory that is used.
    let config = config(&scene.cluster, 1);
    let same = run("flame-coordinator", &["--config", text(&config), "restore", text(&good)]).await?;
    same.refused(USAGE, &["needs a name of its own", "cluster.name"])?;
    scene.restore(&good, &own).await?.refused(IN_USE_OR_FOREIGN, &["in use by another process"])?;

    let recover = ["cluster", "recover", "--data-dir", text(&own)];
    let with = |more: &[&'static str]| [&recover[..], more].concat();
    run("flmctl", &recover).await?.refused(USAGE, &["--force-new", "If not, start them"])?;
    let running = run("flmctl", &with(&["--force-new", "--yes"])).await?;
    running.refused(CONFLICT, &["in use by another process", "stop the coordinator first"])?;
    stop_all(&mut scene.cluster).await?;
    let nobody = run("flmctl", &with(&["--force-new"])).await?;
    nobody.refused(USAGE, &["give --yes", "is to go on alone", "voters      1 -> 1"])?;
    let planned = run("flmctl", &with(&["--force-new", "--dry-run", "-o", "json"])).await?.with_code(0)?.json()?;
    ensure!(planned["done"] == false && planned["coordinator"] == 1, "{planned}");
    let nothing = ["cluster", "recover", "--force-new", "--yes", "--data-dir", text(scene.folder.path())];
    run("flmctl", &nothing).await?.refused(USAGE, &["is not the data directory of a coordinator"])?;

    // Looking has changed nothing; and what is left of one is recovered as well.
    scene.cluster.start_coordinator(id(1)).await?;
    scene.cluster.leader().await?;
    stop_all(&mut scene.cluster).await?;
    let done = run("flmctl", &with(&["--force-new", "--yes", "-o", "json"])).await?.with_code(0)?.json()?;
    ensure!(done["done"] == true && done["last"].as_u64() > done["held"].as_u64(), "{done}");
    scene.cluster.start_coordinator(id(1)).await?;
    scene.cluster.leader().await?;
    let events = scene.flmctl(&["cluster", "events", "-o", "json"]).await?.with_code(0)?.json()?;
    let events = events["events"].as_array().context("events")?;
    ensure!(events.iter().any(|event| event["kind"] == "generation"), "{events:#?}");
    scene.cluster.shutdown().await
}
