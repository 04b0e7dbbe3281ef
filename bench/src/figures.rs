//! What one run measured: names and numbers, in the order of the report.

use crate::statistics::{Latencies, Spread};

/// Tasks that ended in a second.
pub const TASKS_PER_S: &str = "tasks_per_s";
/// Submits that were acknowledged in a second, until the last one was.
pub const SUBMITS_PER_S: &str = "submits_per_s";
/// Processor seconds, user and system, of all our processes for a thousand tasks.
pub const CPU_S_PER_1000: &str = "cpu_s_per_1000";
/// From a submit to its result, the middle one.
pub const P50_MS: &str = "p50_ms";
/// From a submit to its result, the slowest but one in a hundred.
pub const P99_MS: &str = "p99_ms";
/// Proportional share of memory of all our processes at the end of the measured time.
pub const PSS_MB: &str = "pss_mb";
/// Share of the machine's processors that others had meanwhile.
pub const FOREIGN_CPU: &str = "foreign_cpu";
/// What our processes gave to the disk for a thousand tasks.
pub const DISK_MB_PER_1000: &str = "disk_mb_per_1000";

/// Every result has these, `null` where a workload does not measure them.
pub const ALWAYS: [&str; 6] = [TASKS_PER_S, CPU_S_PER_1000, P50_MS, P99_MS, PSS_MB, FOREIGN_CPU];

/// Numbers by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    entries: Vec<(String, f64)>,
}

impl Figures {
    /// Adds one, or replaces it.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.entries.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name.to_owned(), value)),
        }
    }

    /// Adds all of others.
    pub fn extend(&mut self, others: Self) {
        for (name, value) in others.entries {
            self.set(&name, value);
        }
    }

    /// Adds the percentiles that every report has.
    pub fn set_latencies(&mut self, latencies: &Latencies) {
        for (name, percent) in [(P50_MS, 50.0), (P99_MS, 99.0)] {
            if let Some(value) = latencies.percentile_ms(percent) {
                self.set(name, value);
            }
        }
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

/// The spread of each figure over several runs, in the order in which they first came.
#[must_use]
pub fn spreads(runs: &[Figures]) -> Vec<(String, Spread)> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in runs.iter().flat_map(Figures::iter) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &str| Spread::of(&runs.iter().filter_map(|run| run.get(name)).collect::<Vec<_>>());
    names.into_iter().filter_map(|name| Some((name.to_owned(), of(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_spread_over_the_runs_that_have_it() {
        let (mut first, mut second) = (Figures::default(), Figures::default());
        first.set(TASKS_PER_S, 100.0);
        second.set(P50_MS, 3.0);
        second.set(TASKS_PER_S, 200.0);
        second.set(TASKS_PER_S, 300.0);
        let spreads = spreads(&[first, second]);
        assert_eq!(spreads[0], (TASKS_PER_S.to_owned(), Spread { median: 200.0, min: 100.0, max: 300.0 }));
        assert_eq!(spreads[1], (P50_MS.to_owned(), Spread { median: 3.0, min: 3.0, max: 3.0 }));
    }
}
