//! A metric as a constant.

use crate::label::LabelNames;

/// What one metric is called and means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name: `flame_`, what it is of, what it counts, its unit; `_total` at the end of a counter.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What one is.
    pub unit: Unit,
    /// The labels that tell its series apart.
    pub labels: &'static [LabelNames],
    /// What it counts, in one sentence.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from zero at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts how many values fell into which range.
    Histogram(Scale),
}

/// The unit of a metric: base units only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, entries, yes or no.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The ranges of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Lengths of time: a tenth of a millisecond to ten seconds.
    Latency,
    /// Sizes of batches: one to 4096.
    Things,
    /// Sizes in bytes: 256 B to 32 MiB.
    Bytes,
}

impl Metric {
    /// A metric that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit, labels: &[], help }
    }

    /// A metric that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels: &[], help }
    }

    /// A metric of many values. The scale gives the unit.
    #[must_use]
    pub const fn histogram(name: &'static str, scale: Scale, help: &'static str) -> Self {
        let unit = match scale {
            Scale::Latency => Unit::Seconds,
            Scale::Things => Unit::Count,
            Scale::Bytes => Unit::Bytes,
        };
        Self { name, kind: Kind::Histogram(scale), unit, labels: &[], help }
    }

    /// The same with labels: one series for each of their values.
    #[must_use]
    pub const fn by(self, labels: &'static [LabelNames]) -> Self {
        Self { labels, ..self }
    }
}

impl Scale {
    /// The upper ends of the ranges; what is above the last falls into one more.
    #[must_use]
    pub const fn ends(self) -> &'static [f64] {
        match self {
            Self::Latency => {
                &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
            }
            Self::Things => &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0],
            Self::Bytes => {
                &[256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 33_554_432.0]
            }
        }
    }
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

impl Unit {
    /// As the reference calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

/// What is wrong with a table of metrics, by the rules of names: for the test that each table has.
#[must_use]
pub fn faults(table: &[&Metric]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, metric) in table.iter().enumerate() {
        let name = metric.name;
        let mut fault = |what: &str| faults.push(format!("{name}: {what}"));
        if table[..at].iter().any(|earlier| earlier.name == name) {
            fault("is in the table twice");
        }
        if !name.starts_with("flame_")
            || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            fault("is not flame_ and small letters");
        }
        if name.ends_with("_total") != (metric.kind == Kind::Counter) {
            fault("_total is the end of counters, and of nothing else");
        }
        let stem = name.trim_end_matches("_total");
        if metric.unit != Unit::Count && !stem.ends_with(metric.unit.name()) {
            fault("its unit is the end of its name");
        }
        if !metric.help.ends_with('.') || metric.help.contains(['\n', '|']) {
            fault("its help is one line and a sentence");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_have_no_faults() {
        let table = [
            &Metric::counter("flame_tasks_total", Unit::Count, "Tasks."),
            &Metric::counter("flame_log_bytes_total", Unit::Bytes, "Bytes."),
            &Metric::histogram("flame_commit_seconds", Scale::Latency, "Time."),
        ];
        assert_eq!(faults(&table), Vec::<String>::new());
    }

    #[test]
    fn each_rule_is_seen_to_be_broken() {
        let good = Metric::gauge("flame_a", Unit::Count, "Help.");
        for (bad, part) in [
            (Metric { name: "flame_A", ..good }, "small letters"),
            (Metric { name: "tasks", ..good }, "flame_"),
            (Metric { name: "flame_a_total", ..good }, "_total"),
            (Metric { kind: Kind::Counter, ..good }, "_total"),
            (Metric { unit: Unit::Bytes, ..good }, "its unit"),
            (Metric { help: "Help", ..good }, "a sentence"),
        ] {
            assert!(faults(&[&bad]).iter().any(|fault| fault.contains(part)), "{bad:?}: {:?}", faults(&[&bad]));
        }
        assert!(faults(&[&good, &good])[0].contains("twice"));
    }

    #[test]
    fn ranges_of_histograms_go_up() {
        for scale in [Scale::Latency, Scale::Things, Scale::Bytes] {
            assert!(scale.ends().windows(2).all(|pair| pair[0] < pair[1]), "{scale:?}");
        }
    }
}
