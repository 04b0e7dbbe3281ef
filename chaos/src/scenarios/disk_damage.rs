//! `disk-damage`: a bit turns over while a coordinator is down: in the middle of its log, at the end of it, or in its rows.
//!
//! The coordinator must not open with less than it has acknowledged, nor give damaged rows out. Rows are made again from the
//! log, as the page about that code says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_testkit::ClusterOptions;
use flame_types::CoordinatorId;
use tokio::time::{Instant, sleep, timeout};

use super::disk_trouble::{DAMAGED, Options, QUARANTINE, Scene, Victim, files};
use super::report::Report;

const NAME: &str = "disk-damage";

/// Blocks of a write-ahead log end with up to six bytes that mean nothing.
const BLOCK_BYTES: u64 = 32 << 10;
const PADDING_BYTES: u64 = 7;

/// For everything to be read once.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// For one reading.
const READING_MAX: Duration = Duration::from_secs(5);

/// Between two readings.
const PAUSE: Duration = Duration::from_millis(50);

/// Where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Middle,
    End,
}

/// Plays it.
///
/// # Errors
/// If the cluster does not start, or a coordinator does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let mut scene = Scene::start(NAME, ClusterOptions::default()).await?;
    let mut torn = 0_u64;
    for victim in options.victims() {
        log(&mut scene, victim, Place::Middle).await?;
        torn += u64::from(log(&mut scene, victim, Place::End).await?);
        rows(&mut scene, victim).await?;
    }
    // The last record may be one that nobody was ever told of: then it is a torn one.
    scene.judge.figure("torn_ends", torn);
    scene.report().await
}

/// Returns whether the coordinator has started all the same, which it may when the last record was not acknowledged.
async fn log(scene: &mut Scene, victim: Victim, place: Place) -> Result<bool> {
    let id = scene.victim(victim).await?;
    scene.run.cluster.kill_coordinator(id).await?;
    let sound = tempfile::tempdir()?;
    scene.run.cluster.copy_data(id, sound.path())?;
    let file = newest_log(&scene.run.cluster.data_at_rest(id)?.join("log"))?;
    let length = file.metadata()?.len();
    let at = match place {
        Place::Middle => outside_padding(length / 2),
        Place::End => length - 1,
    };
    flip(&file, at)?;
    let what = format!("byte {at} of the {length} of its log was changed");
    if place == Place::End && scene.run.cluster.start_coordinator(id).await.is_ok() {
        eprintln!("==> coordinator {id}: {what}, and was not acknowledged");
        scene.run.catches_up(id).await?;
        return Ok(true);
    }
    scene.does_not_stay(id, &[DAMAGED, QUARANTINE], &what).await?;
    // What looks like a torn end is cut off before it is found that more was promised: all of it is put back.
    scene.run.cluster.restore_data(id, sound.path())?;
    scene.returns(id).await?;
    Ok(false)
}

async fn rows(scene: &mut Scene, victim: Victim) -> Result<()> {
    let id = scene.victim(victim).await?;
    // A coordinator that is told to stop leaves all rows in files.
    scene.run.cluster.stop_coordinator(id).await?;
    let folder = scene.run.cluster.data_at_rest(id)?.join("state");
    let tables = files(&folder, ".sst")?;
    ensure!(!tables.is_empty(), "coordinator {id} has no rows in files");
    for table in &tables {
        flip(table, table.metadata()?.len() / 2)?;
    }
    if scene.run.cluster.start_coordinator(id).await.is_ok() {
        read_until_it_ends(scene, id).await?;
    }
    scene.ends(id, &[DAMAGED], &format!("a byte in each of {} files of its rows was changed", tables.len())).await?;
    std::fs::remove_dir_all(&folder).context("remove the rows")?;
    scene.returns(id).await
}

/// Rows of what has ended are read when somebody asks for them.
async fn read_until_it_ends(scene: &mut Scene, id: CoordinatorId) -> Result<()> {
    let until = Instant::now() + READ_LIMIT;
    while !scene.run.cluster.has_ended(id) {
        ensure!(Instant::now() < until, "coordinator {id} has been asked for everything and has found no damage");
        // It ends in the middle of it, and whoever asks goes on asking.
        let _unread = timeout(READING_MAX, scene.run.reads_all(id)).await;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The file with the newest entries: none is written to one that is not.
fn newest_log(folder: &Path) -> Result<PathBuf> {
    let mut logs = files(folder, ".log")?;
    logs.retain(|path| path.metadata().is_ok_and(|file| file.len() > PADDING_BYTES));
    logs.pop().with_context(|| format!("there is no log in {}", folder.display()))
}

fn outside_padding(at: u64) -> u64 {
    if BLOCK_BYTES - at % BLOCK_BYTES < PADDING_BYTES { at - PADDING_BYTES } else { at }
}

/// Turns one bit over.
fn flip(path: &Path, at: u64) -> Result<()> {
    let mut bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let byte = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)).context("the file is shorter")?;
    *byte ^= 4;
    std::fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_means_something() {
        for at in 0..3 * BLOCK_BYTES {
            assert!(BLOCK_BYTES - outside_padding(at) % BLOCK_BYTES >= PADDING_BYTES, "{at}");
        }
    }

    #[test]
    fn a_bit_that_is_turned_twice_is_as_it_was() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("000007.log");
        std::fs::write(&file, b"0123456789")?;
        assert_eq!(newest_log(folder.path())?, file);
        flip(&file, 9)?;
        assert_ne!(std::fs::read(&file)?, b"0123456789");
        flip(&file, 9)?;
        assert_eq!(std::fs::read(&file)?, b"0123456789");
        assert!(flip(&file, 10).is_err());
        Ok(())
    }
}
