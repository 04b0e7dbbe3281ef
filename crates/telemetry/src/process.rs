//! What the system says of this process.

use std::path::Path;

use flame_metrics::{Gauge, Registrar};

use crate::metrics::{ANONYMOUS, BUILD_INFO, CPU, RESIDENT, THREADS, Version};

/// Ticks in a second, in which Linux counts processor time for programs; the same on every architecture of ours.
const TICKS_PER_SECOND: f64 = 100.0;

const STATUS: &str = "/proc/self/status";
const STAT: &str = "/proc/self/stat";

/// Gauges of the process, to be refreshed before they are read.
#[derive(Clone, Debug)]
pub struct ProcessGauges {
    resident: Gauge,
    anonymous: Gauge,
    cpu: Gauge,
    threads: Gauge,
}

impl ProcessGauges {
    /// Makes the handles.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        registrar.gauges(&BUILD_INFO).of(Version::This).set(1.0);
        Self {
            resident: registrar.gauge(&RESIDENT),
            anonymous: registrar.gauge(&ANONYMOUS),
            cpu: registrar.gauge(&CPU),
            threads: registrar.gauge(&THREADS),
        }
    }

    /// Asks the system. What it does not say is shown as NaN.
    pub fn refresh(&self) {
        let status = read(STATUS);
        let kilobytes = |name| field(&status, name).map_or(f64::NAN, |value| value * 1024.0);
        self.resident.set(kilobytes("VmRSS:"));
        self.anonymous.set(kilobytes("RssAnon:"));
        self.threads.set(field(&status, "Threads:").unwrap_or(f64::NAN));
        self.cpu.set(cpu_seconds(&read(STAT)).unwrap_or(f64::NAN));
    }
}

fn read(path: &str) -> String {
    // Without /proc nothing is known, and NaN says so.
    std::fs::read_to_string(Path::new(path)).unwrap_or_default()
}

/// The number behind a name in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time: the 14th and 15th field of `/proc/self/stat`, whose 2nd, in brackets, may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exporter;
    use crate::metrics::METRICS;

    #[test]
    fn the_table_and_the_handles_agree() {
        let faults = flame_metrics::roll::faults(&[METRICS], |registrar| drop(ProcessGauges::register(registrar)));
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let exporter = Exporter::new(&[METRICS]);
        let gauges = ProcessGauges::register(&exporter.registrar());
        gauges.refresh();
        let text = exporter.render();
        let value = |name: &str| -> f64 {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            line.trim().parse().unwrap()
        };
        assert!(value("flame_process_resident_bytes ") > value("flame_process_anonymous_bytes "));
        assert!(value("flame_process_threads ") >= 1.0);
        assert!(value("flame_process_cpu_seconds ") >= 0.0);
    }

    #[test]
    fn names_with_brackets_and_spaces_do_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("nonsense"), None);
        assert_eq!(field("VmRSS:\t  12 kB\nThreads:\t3\n", "Threads:"), Some(3.0));
    }
}
