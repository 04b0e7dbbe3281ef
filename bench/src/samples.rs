//! What a long run looks like while it goes on: a series of samples, taken at steady times.
//!
//! **Invariant:** memory and disk are told for each coordinator, never only in sum: one that grows cannot hide.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::Instant;

use crate::accounting::Snapshot;
use crate::scene::Scene;
use crate::scrape;
use crate::statistics::Latencies;

const BYTES_PER_MB: f64 = 1_000_000.0;

/// The metric of what compaction owes.
const COMPACTION_DEBT: &str = "flame_rocksdb_compaction_pending_bytes";

/// Blocks of a file are counted in this unit, whatever the file system.
const BLOCK_BYTES: u64 = 512;

/// One moment of a long run.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Since the beginning.
    pub at_s: f64,
    /// Since the sample before.
    pub tasks_per_s: f64,
    /// Of the tasks that ended since the sample before.
    pub p50_ms: Option<f64>,
    /// Of the tasks that ended since the sample before.
    pub p99_ms: Option<f64>,
    /// Of each coordinator, in the order of their ids.
    pub pss_mb: Vec<f64>,
    /// On the disk, of each coordinator's data.
    pub disk_mb: Vec<f64>,
    /// What compaction has yet to rewrite, of each coordinator.
    pub compaction_debt_mb: Vec<f64>,
    /// Who leads.
    pub leader: u64,
    /// In which term.
    pub term: u64,
    /// Share of the machine's processors that others had since the sample before.
    pub foreign_cpu: f64,
}

/// Collects samples.
pub struct Sampler {
    began: Instant,
    last: Instant,
    usage: Snapshot,
    data: Vec<PathBuf>,
    /// Where each coordinator serves its metrics.
    metrics: Vec<String>,
    samples: Vec<Sample>,
}

/// Latencies since somebody looked last.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Vec<Duration>>);

impl Recent {
    /// A task has ended.
    pub fn add(&self, latency: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(latency);
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sampler {
    /// From now on.
    ///
    /// # Errors
    /// If the processes cannot be read, or a coordinator serves no metrics.
    pub async fn start(scene: &mut Scene) -> Result<Self> {
        let (mut data, mut metrics) = (Vec::new(), Vec::new());
        for id in scene.cluster.coordinator_ids() {
            data.push(scene.cluster.folder().join(format!("c{id}")).join("data"));
            metrics.push(scene.cluster.metrics_address(id).await?);
        }
        let now = Instant::now();
        let usage = Snapshot::take(&scene.processes())?;
        Ok(Self { began: now, last: now, usage, data, metrics, samples: Vec::new() })
    }

    /// Takes one.
    ///
    /// # Errors
    /// If a coordinator is gone or does not answer, or the coordinators agree on no leader.
    pub async fn take(&mut self, scene: &Scene, recent: &Recent) -> Result<&Sample> {
        let now = Instant::now();
        let latencies = recent.take();
        let tasks = latencies.len() as f64;
        let latencies = Latencies::of(latencies);
        let usage = Snapshot::take(&scene.processes())?;
        let leader = scene.cluster.leader().await?;
        let pss = scene.coordinators_pss()?.into_iter().map(|bytes| bytes as f64 / BYTES_PER_MB);
        let mut debt = Vec::new();
        for address in &self.metrics {
            let page = scrape::page(address).await?;
            let bytes = scrape::sum_of(&page, COMPACTION_DEBT).with_context(|| format!("no {COMPACTION_DEBT}"))?;
            debt.push(bytes / BYTES_PER_MB);
        }
        let disk = self.data.iter().map(|folder| Ok(disk_bytes(folder)? as f64 / BYTES_PER_MB));
        self.samples.push(Sample {
            at_s: (now - self.began).as_secs_f64(),
            tasks_per_s: tasks / (now - self.last).as_secs_f64(),
            p50_ms: latencies.percentile_ms(50.0),
            p99_ms: latencies.percentile_ms(99.0),
            pss_mb: pss.collect(),
            disk_mb: disk.collect::<Result<_>>()?,
            compaction_debt_mb: debt,
            leader: leader.id.0,
            term: leader.term.0,
            foreign_cpu: usage.since(&self.usage).foreign,
        });
        (self.last, self.usage) = (now, usage);
        self.samples.last().context("one was just taken")
    }

    /// All of them.
    #[must_use]
    pub fn finish(self) -> Vec<Sample> {
        self.samples
    }
}

/// What the files below a folder take on the disk. Files that go meanwhile are not counted.
fn disk_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_folder_is_that_of_all_its_files() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let below = folder.path().join("below");
        std::fs::create_dir(&below)?;
        std::fs::write(folder.path().join("a"), vec![1; 100_000])?;
        std::fs::write(below.join("b"), vec![1; 200_000])?;
        assert!((300_000..400_000).contains(&disk_bytes(folder.path())?));
        Ok(())
    }
}
