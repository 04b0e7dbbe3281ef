//! Phases of putting and getting objects, done by a program that speaks as `bench/peers/object_phases.py`: ours and a
//! peer's, measured by the same code.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::accounting::{Kind, Snapshot, memory_mb};
use crate::companion::Companion;
use crate::figures::{FOREIGN_CPU, Figures, PSS_MB};
use crate::meter::set_by_kind;
use crate::statistics::Latencies;

const BYTES_PER_MB: f64 = 1e6;
const BYTES_PER_GB: f64 = 1e9;

/// One phase, and how many objects it has.
struct Phase {
    name: &'static str,
    count: u64,
}

const PHASES: &[Phase] = &[
    Phase { name: "put-200k", count: 1_000 },
    Phase { name: "get-200k", count: 1_000 },
    Phase { name: "put-1m", count: 600 },
    Phase { name: "get-1m", count: 600 },
    Phase { name: "put-100m", count: 24 },
    Phase { name: "get-100m", count: 24 },
    Phase { name: LATENCY, count: 1_000 },
];

/// Each object is put and got before the next: its times are the latencies of the report.
const LATENCY: &str = "put-get-200k";

#[derive(Debug, Deserialize)]
struct Warm {
    warm: String,
}

#[derive(Debug, Deserialize)]
struct Told {
    took_s: f64,
    bytes: u64,
    latencies_ms: Vec<f64>,
}

/// All phases, with `count` objects each where that is given.
///
/// # Errors
/// If the program ends early, or says what cannot be.
pub async fn measure(
    program: &mut Companion,
    count: Option<u64>,
    processes: impl Fn() -> BTreeMap<u32, Kind>,
) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut foreign = Vec::new();
    for phase in PHASES {
        let count = count.unwrap_or(phase.count);
        program.tell(&format!("{} {count}", phase.name)).await?;
        let line = program.line().await?;
        let warm: Warm = serde_json::from_str(&line).with_context(|| format!("it says {line:?}"))?;
        ensure!(warm.warm == phase.name, "it is warm for {:?}", warm.warm);
        let before = Snapshot::take(&processes())?;
        program.tell("go").await?;
        let line = program.line().await?;
        let usage = Snapshot::take(&processes())?.since(&before);
        let told: Told = serde_json::from_str(&line).with_context(|| format!("it says {line:?}"))?;
        foreign.push(usage.foreign);
        add(&mut figures, phase.name, count, told, usage.cpu_total())?;
    }
    let memory = memory_mb(&processes());
    figures.set(PSS_MB, memory.values().sum());
    set_by_kind(&mut figures, PSS_MB, &memory, 1.0);
    figures.set(FOREIGN_CPU, foreign.iter().sum::<f64>() / foreign.len() as f64);
    Ok(figures)
}

fn add(figures: &mut Figures, phase: &str, count: u64, told: Told, cpu_s: f64) -> Result<()> {
    ensure!(told.latencies_ms.len() as u64 == count, "{} times of {count} objects", told.latencies_ms.len());
    ensure!(told.took_s > 0.0 && told.bytes > 0, "{} bytes took {} s", told.bytes, told.took_s);
    let name = phase.replace('-', "_");
    if phase != LATENCY {
        figures.set(&format!("{name}_mb_per_s"), told.bytes as f64 / BYTES_PER_MB / told.took_s);
        figures.set(&format!("{name}_cpu_s_per_gb"), cpu_s / (told.bytes as f64 / BYTES_PER_GB));
        return Ok(());
    }
    let times = told.latencies_ms.into_iter().map(|ms| Duration::try_from_secs_f64(ms / 1000.0));
    figures.set_latencies(&Latencies::of(times.collect::<Result<Vec<_>, _>>().context("a time is no time")?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::P50_MS;

    fn told(took_s: f64, latencies_ms: &[f64]) -> Told {
        Told { took_s, bytes: 3_000_000, latencies_ms: latencies_ms.to_vec() }
    }

    #[test]
    fn figures_are_made_of_what_it_says() -> Result<()> {
        let mut figures = Figures::default();
        add(&mut figures, "put-1m", 3, told(0.01, &[3.0, 3.0, 4.0]), 0.003)?;
        add(&mut figures, LATENCY, 3, told(0.01, &[3.0, 4.0, 5.0]), 0.003)?;
        let of = |name: &str| figures.get(name);
        assert_eq!((of("put_1m_mb_per_s"), of("put_1m_cpu_s_per_gb"), of(P50_MS)), (Some(300.0), Some(1.0), Some(4.0)));
        assert_eq!(of("put_get_200k_mb_per_s"), None);
        Ok(())
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let mut figures = Figures::default();
        assert!(add(&mut figures, "put-1m", 4, told(0.01, &[3.0]), 0.0).is_err(), "an object is missing");
        assert!(add(&mut figures, "put-1m", 1, told(0.0, &[3.0]), 0.0).is_err(), "it took no time");
        assert!(add(&mut figures, LATENCY, 1, told(0.1, &[-3.0]), 0.0).is_err());
    }
}
