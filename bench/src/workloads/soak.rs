//! `soak`: minutes at full load, with a sample every few seconds: the rate, latencies, memory and disk of each
//! coordinator, who leads. The series is written as JSON and as a plot.
//!
//! Finished tasks leave after half a minute, by the retention policy of the session: that is what must keep the disk flat.
//! So many tasks are always under way that nothing ever waits for the client. A change of leader is a broken promise:
//! nothing but the load has happened.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::SessionOptions;
use flame_sdk::model::Retention;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::Client;
use crate::figures::{Figures, TASKS_PER_S};
use crate::meter::Meter;
use crate::plot::{self, Panel};
use crate::samples::{Recent, Sample, Sampler};
use crate::scene::Scene;
use crate::settings::Settings;
use crate::statistics::Spread;
use crate::workloads::Outcome;

const SECONDS: u64 = 600;
const TITLE: &str = "Full load, every task on the disks of a majority of three coordinators";
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
const EXECUTORS: u32 = 2;
const WARM_UP: u64 = 200;

/// How long finished tasks are kept.
const KEPT: Duration = Duration::from_secs(30);

/// Tasks under way: enough for the largest batches, and never a queue that grows.
const UNDER_WAY: usize = 8_192;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let length = Duration::from_secs(settings.seconds.unwrap_or(SECONDS));
    let mut scene = Scene::start(EXECUTORS, &settings).await?;
    let session = session(&scene).await?;
    let client = Client::open(&scene.connection, &session).await?;
    client.all(0..WARM_UP).await?;
    let sampler = Sampler::start(&mut scene).await?;
    let meter = Meter::start(&scene, &settings).await?;
    let recent = Recent::default();
    let began = Instant::now();
    let loading = client.keep_busy(UNDER_WAY, began + length, |latency| recent.add(latency));
    let (tasks, samples) = tokio::try_join!(loading, sample(sampler, &scene, &recent, began + length))?;
    let took = began.elapsed();
    let costs = meter.stop(&scene, tasks).await?;
    write(&settings.folder, &samples)?;

    let mut figures = Figures::default();
    figures.set(TASKS_PER_S, tasks as f64 / took.as_secs_f64());
    figures.set("tasks", tasks as f64);
    figures.set("seconds", took.as_secs_f64());
    set_series(&mut figures, &samples)?;
    figures.extend(costs);
    let kept = scene.connection.get_session(&session).await?.status.kept;
    figures.set("tasks_kept", kept.tasks as f64);
    figures.set("tasks_removed", kept.trimmed as f64);
    let leaders: BTreeSet<_> = samples.iter().map(|sample| (sample.leader, sample.term)).collect();
    let before = (scene.leader.id.0, scene.leader.term.0);
    figures.set("leader_changes", leaders.iter().filter(|leader| **leader != before).count() as f64);
    scene.cluster.shutdown().await?;
    if leaders != BTreeSet::from([before]) {
        let why = format!("the leader (and term) was {before:?} before, and then of {leaders:?}");
        return Ok(Outcome::Wrong(figures, why));
    }
    Ok(Outcome::Measured(figures))
}

/// A session whose finished tasks do not stay for longer than a part of the run, so that the disk can become flat.
async fn session(scene: &Scene) -> Result<String> {
    let kept_ms = u64::try_from(KEPT.as_millis()).context("it is short")?;
    let retention = Retention { task_age_ms: Some(kept_ms), task_age_ms_min: Some(kept_ms), ..Retention::default() };
    let options = SessionOptions {
        min_instances: EXECUTORS,
        max_instances: Some(EXECUTORS),
        retention: Some(retention),
        ..SessionOptions::new(scene.register_echo().await?)
    };
    scene.ready_sessions(&options, 1).await?.pop().context("one session was opened")
}

async fn sample(mut sampler: Sampler, scene: &Scene, recent: &Recent, until: Instant) -> Result<Vec<Sample>> {
    let mut ticks = interval_at(Instant::now() + SAMPLE_EVERY, SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() + SAMPLE_EVERY <= until {
        ticks.tick().await;
        let sample = sampler.take(scene, recent).await.context("take a sample")?;
        eprintln!("    {:.0} s: {:.0} tasks/s, leader {}", sample.at_s, sample.tasks_per_s, sample.leader);
    }
    let samples = sampler.finish();
    ensure!(!samples.is_empty(), "too short for a sample: it needs {} s", SAMPLE_EVERY.as_secs());
    Ok(samples)
}

/// A name, and what it means of a sample.
type Curve = (&'static str, fn(&Sample) -> f64);

/// What says whether the curves are flat: the slowest and the fastest stretch, and the last quarter beside the second.
fn set_series(figures: &mut Figures, samples: &[Sample]) -> Result<()> {
    let rates: Vec<f64> = samples.iter().map(|sample| sample.tasks_per_s).collect();
    let spread = Spread::of(&rates).context("there are samples")?;
    figures.set("tasks_per_s_slowest", spread.min);
    figures.set("tasks_per_s_fastest", spread.max);
    let quarters: [Curve; 4] = [
        ("tasks_per_s", |sample| sample.tasks_per_s),
        ("coordinators_pss_mb", |sample| sample.pss_mb.iter().sum()),
        ("disk_mb", |sample| sample.disk_mb.iter().sum()),
        ("compaction_debt_mb", |sample| sample.compaction_debt_mb.iter().sum()),
    ];
    for (name, of) in quarters {
        let values: Vec<f64> = samples.iter().map(of).collect();
        let quarter = values.len().div_ceil(4);
        let second = values.get(quarter..2 * quarter).unwrap_or(&values);
        let last = &values[values.len() - quarter..];
        for (part, values) in [("second_quarter", second), ("last_quarter", last)] {
            let median = Spread::of(values).context("a quarter has samples")?.median;
            figures.set(&format!("{name}_{part}"), median);
        }
    }
    Ok(())
}

fn write(folder: &Path, samples: &[Sample]) -> Result<()> {
    let text = serde_json::to_string_pretty(samples).context("samples have a JSON form")?;
    let path = folder.join("soak.json");
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    plot::write(&folder.join("soak.svg"), TITLE, &panels(samples))
}

fn panels(samples: &[Sample]) -> Vec<Panel> {
    let curve = |name: &str, of: &dyn Fn(&Sample) -> Option<f64>| {
        let points = samples.iter().filter_map(|sample| Some((sample.at_s, of(sample)?)));
        (name.to_owned(), points.collect::<Vec<_>>())
    };
    let of_each = |of: fn(&Sample) -> &[f64]| {
        let count = samples.first().map_or(0, |sample| of(sample).len());
        let curves =
            (0..count).map(|at| curve(&format!("coordinator {}", at + 1), &|sample| of(sample).get(at).copied()));
        curves.collect::<Vec<_>>()
    };
    let panel = |title: &str, curves| Panel { title: title.to_owned(), curves };
    vec![
        panel("tasks per second", vec![curve("tasks/s", &|sample| Some(sample.tasks_per_s))]),
        panel("latency, ms", vec![curve("p50", &|sample| sample.p50_ms), curve("p99", &|sample| sample.p99_ms)]),
        panel("memory (PSS), MB", of_each(|sample| &sample.pss_mb)),
        panel("disk, MB", of_each(|sample| &sample.disk_mb)),
        panel("compaction debt, MB", of_each(|sample| &sample.compaction_debt_mb)),
        panel("term of the leader", vec![curve("term", &|sample| Some(sample.term as f64))]),
        panel("processors used by others, %", vec![curve("others", &|sample| Some(sample.foreign_cpu * 100.0))]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u32) -> Vec<Sample> {
        let sample = |at: u32| Sample {
            at_s: f64::from(at) * 5.0,
            tasks_per_s: 100.0,
            p50_ms: Some(1.0),
            p99_ms: None,
            pss_mb: vec![f64::from(at); 3],
            disk_mb: vec![1.0; 3],
            compaction_debt_mb: vec![0.0; 3],
            leader: 1,
            term: 2,
            foreign_cpu: 0.0,
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn growth_shows_between_the_quarters() -> Result<()> {
        let mut figures = Figures::default();
        set_series(&mut figures, &samples(8))?;
        assert_eq!(figures.get("coordinators_pss_mb_second_quarter"), Some(7.5));
        assert_eq!(figures.get("coordinators_pss_mb_last_quarter"), Some(19.5));
        assert_eq!(figures.get("tasks_per_s_slowest"), Some(100.0));
        for short in [1, 2, 3] {
            set_series(&mut figures, &samples(short))?;
        }
        Ok(())
    }

    #[test]
    fn the_series_and_its_plot_are_written() -> Result<()> {
        let folder = tempfile::tempdir()?;
        write(folder.path(), &samples(8))?;
        let series: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.path().join("soak.json"))?)?;
        assert_eq!(series.as_array().map(Vec::len), Some(8));
        let plot = std::fs::read_to_string(folder.path().join("soak.svg"))?;
        assert!(plot.contains("disk, MB") && plot.contains("compaction debt, MB"), "{plot}");
        Ok(())
    }
}
