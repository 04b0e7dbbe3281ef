//! Metrics as Prometheus reads them.

use std::time::Duration;

use flame_metrics::{Kind, Metric, Registrar};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// What the text is, for the header of an HTTP answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often [`Exporter::upkeep`] should be called.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The metrics of one process, or of one node where several live in a process: nothing here is global.
pub struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// An exporter for the metrics of these tables: histograms must be known before they are registered.
    #[must_use]
    pub fn new(tables: &[&[&Metric]]) -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in tables.iter().copied().flatten() {
            if let Kind::Histogram(scale) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, scale.ends()).expect("every scale has ranges");
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Makes handles.
    #[must_use]
    pub fn registrar(&self) -> Registrar<'_> {
        Registrar::new(&self.recorder)
    }

    /// Everything, as text, in the order of the names.
    #[must_use]
    pub fn render(&self) -> String {
        let text = self.handle.render();
        let mut metrics: Vec<&str> = text.split("\n\n").map(str::trim).filter(|metric| !metric.is_empty()).collect();
        metrics.sort_unstable();
        metrics.join("\n\n") + "\n"
    }

    /// Sorts what histograms have recorded into their ranges: until then every value is kept. Call it every
    /// [`UPKEEP_EVERY`], whether or not anybody reads.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use flame_metrics::{Label, LabelSet, Scale, Unit};

    use super::*;

    flame_metrics::labels! {
        enum End: "end" {
            Well = "well",
            Badly = "badly",
        }
    }

    static ENDS: Metric = Metric::counter("flame_ends_total", Unit::Count, "How it ended.").by(End::LABELS);
    static TIME: Metric = Metric::histogram("flame_time_seconds", Scale::Latency, "How long it took.");
    static LEVEL: Metric = Metric::gauge("flame_level", Unit::Count, "How high it is.");
    static TABLE: &[&Metric] = &[&ENDS, &TIME, &LEVEL];

    #[test]
    fn every_series_is_there_from_the_start_with_help_and_type() {
        let exporter = Exporter::new(&[TABLE]);
        let registrar = exporter.registrar();
        let handles = (registrar.counters::<End>(&ENDS), registrar.histogram(&TIME), registrar.gauge(&LEVEL));
        let text = exporter.render();
        for line in [
            "# HELP flame_ends_total How it ended.",
            "# TYPE flame_ends_total counter",
            "flame_ends_total{end=\"well\"} 0",
            "flame_ends_total{end=\"badly\"} 0",
            "# TYPE flame_time_seconds histogram",
            "flame_time_seconds_count 0",
            "# TYPE flame_level gauge",
            "flame_level 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
        assert_eq!(End::NAMES.values.len(), 2);
        drop(handles);
    }

    #[test]
    fn what_is_recorded_is_shown_and_two_exporters_do_not_mix() {
        let (one, other) = (Exporter::new(&[TABLE]), Exporter::new(&[TABLE]));
        let ends = one.registrar().counters::<End>(&ENDS);
        let time = one.registrar().histogram(&TIME);
        let _there = other.registrar().counters::<End>(&ENDS);
        ends.of(End::Badly).increment(3);
        for end in [End::Well, End::Badly] {
            ends.of(end).increment(1);
        }
        time.record(0.0003);
        one.upkeep();
        time.record(2.0);
        let text = one.render();
        for line in [
            "flame_ends_total{end=\"badly\"} 4",
            "flame_time_seconds_bucket{le=\"0.00025\"} 0",
            "flame_time_seconds_bucket{le=\"0.0005\"} 1",
            "flame_time_seconds_bucket{le=\"2.5\"} 2",
            "flame_time_seconds_bucket{le=\"+Inf\"} 2",
            "flame_time_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
        assert!(other.render().contains("flame_ends_total{end=\"badly\"} 0"));
    }
}
