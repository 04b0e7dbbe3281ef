//! Measures what a stretch of a run costs, and takes a profile of it when one is wanted.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::accounting::{Kind, Snapshot, memory_mb};
use crate::client::Series;
use crate::figures::{CPU_S_PER_1000, DISK_MB_PER_1000, FOREIGN_CPU, Figures, PSS_MB};
use crate::profile::Recording;
use crate::scene::Scene;
use crate::settings::Settings;

/// Running; ended by [`Meter::stop`].
pub struct Meter {
    before: Snapshot,
    recording: Option<Recording>,
}

impl Meter {
    /// From now on everything counts.
    ///
    /// # Errors
    /// If the processes cannot be read, or a profile is wanted and cannot be made.
    pub async fn start(scene: &Scene, settings: &Settings) -> Result<Self> {
        let recording = match &settings.profile {
            Some(path) => Some(Recording::start(path, scene.processes()).await?),
            None => None,
        };
        Ok(Self { before: Snapshot::take(&scene.processes())?, recording })
    }

    /// What was used for so many tasks.
    ///
    /// # Errors
    /// As [`Meter::start`].
    pub async fn stop(self, scene: &Scene, tasks: u64) -> Result<Figures> {
        let figures = costs(&self.before, &scene.processes(), tasks)?;
        if let Some(recording) = self.recording {
            recording.finish().await?;
        }
        Ok(figures)
    }
}

/// What a series of tasks gives and what it costs.
///
/// # Errors
/// If the series breaks, or as [`Meter::start`].
pub async fn series(scene: &Scene, settings: &Settings, run: impl Future<Output = Result<Series>>) -> Result<Figures> {
    let meter = Meter::start(scene, settings).await?;
    let series = run.await?;
    let tasks = series.latencies.len() as u64;
    let mut figures = series.figures();
    figures.extend(meter.stop(scene, tasks).await?);
    Ok(figures)
}

/// What these processes used for so many tasks since `before`, and their memory now.
///
/// # Errors
/// If the machine's own times cannot be read.
pub fn costs(before: &Snapshot, processes: &BTreeMap<u32, Kind>, tasks: u64) -> Result<Figures> {
    let usage = Snapshot::take(processes)?.since(before);
    let mut figures = Figures::default();
    let per_1000 = 1000.0 / (tasks.max(1) as f64);
    figures.set(CPU_S_PER_1000, usage.cpu_total() * per_1000);
    set_by_kind(&mut figures, CPU_S_PER_1000, &usage.cpu_seconds, per_1000);
    let memory = memory_mb(processes);
    figures.set(PSS_MB, memory.values().sum());
    set_by_kind(&mut figures, PSS_MB, &memory, 1.0);
    figures.set(DISK_MB_PER_1000, usage.written_mb * per_1000);
    figures.set(FOREIGN_CPU, usage.foreign);
    figures.set("own_cpu", usage.own);
    Ok(figures)
}

/// One figure for each kind of process: `NAME_KIND`.
pub fn set_by_kind(figures: &mut Figures, name: &str, values: &BTreeMap<Kind, f64>, factor: f64) {
    for kind in Kind::ALL {
        if let Some(value) = values.get(&kind) {
            figures.set(&format!("{name}_{}", kind.name()), value * factor);
        }
    }
}
