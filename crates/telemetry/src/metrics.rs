//! The metrics of any process of ours.

use flame_metrics::{LabelSet, Metric, Unit};

flame_metrics::labels! {
    /// The release that runs.
    pub enum Version: "version" {
        /// This one.
        This = flame_metrics::RELEASE,
    }
}

/// Says which release runs.
pub static BUILD_INFO: Metric =
    Metric::gauge("flame_build_info", Unit::Count, "Always 1; its label is the release that runs.").by(Version::LABELS);

/// Memory of the process.
pub static RESIDENT: Metric = Metric::gauge(
    "flame_process_resident_bytes",
    Unit::Bytes,
    "Memory of the process that is in RAM, files that are mapped included.",
);

/// Memory of the process without files.
pub static ANONYMOUS: Metric = Metric::gauge(
    "flame_process_anonymous_bytes",
    Unit::Bytes,
    "Memory of the process that is in RAM and is no file: heap and stacks.",
);

/// Time on processors.
pub static CPU: Metric = Metric::gauge(
    "flame_process_cpu_seconds",
    Unit::Seconds,
    "Processor time that the process has used since its start.",
);

/// Threads.
pub static THREADS: Metric = Metric::gauge("flame_process_threads", Unit::Count, "Threads of the process.");

/// Every metric of this crate, in the order of the reference.
pub static METRICS: &[&Metric] = &[&BUILD_INFO, &RESIDENT, &ANONYMOUS, &CPU, &THREADS];
