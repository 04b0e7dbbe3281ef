//! From constants to handles.

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, NoopRecorder, Recorder, SharedString};

use crate::family::Family;
use crate::label::{LabelSet, combinations};
use crate::metric::{Kind, Metric, Unit};

/// Everything here is for everybody; the facade wants to know.
const METADATA: Metadata<'static> = Metadata::new("flame", Level::INFO, None);

/// Makes handles, once, when a component starts.
#[derive(Clone, Copy)]
pub struct Registrar<'a> {
    recorder: &'a dyn Recorder,
}

impl std::fmt::Debug for Registrar<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrar").finish_non_exhaustive()
    }
}

impl<'a> Registrar<'a> {
    /// Registers with this recorder.
    #[must_use]
    pub fn new(recorder: &'a dyn Recorder) -> Self {
        Self { recorder }
    }

    /// Gives handles that do nothing.
    #[must_use]
    pub fn off() -> Registrar<'static> {
        Registrar { recorder: &NoopRecorder }
    }

    /// The handle of a counter without labels.
    ///
    /// # Panics
    /// When the constant is not one.
    pub fn counter(&self, metric: &'static Metric) -> Counter {
        self.describe(metric, Kind::Counter);
        self.recorder.register_counter(&plain(metric), &METADATA)
    }

    /// The handle of a gauge without labels.
    ///
    /// # Panics
    /// When the constant is not one.
    pub fn gauge(&self, metric: &'static Metric) -> Gauge {
        self.describe(metric, Kind::Gauge);
        self.recorder.register_gauge(&plain(metric), &METADATA)
    }

    /// The handle of a histogram without labels.
    ///
    /// # Panics
    /// When the constant is not one.
    pub fn histogram(&self, metric: &'static Metric) -> Histogram {
        let Kind::Histogram(_) = metric.kind else { panic!("{} is a {}", metric.name, metric.kind.name()) };
        self.describe(metric, metric.kind);
        self.recorder.register_histogram(&plain(metric), &METADATA)
    }

    /// The handles of a counter with labels.
    ///
    /// # Panics
    /// When the constant is not one, or has other labels.
    #[must_use]
    pub fn counters<L: LabelSet>(&self, metric: &'static Metric) -> Family<L, Counter> {
        self.describe(metric, Kind::Counter);
        Family::new(keys::<L>(metric).map(|key| self.recorder.register_counter(&key, &METADATA)).collect())
    }

    /// The handles of a gauge with labels.
    ///
    /// # Panics
    /// When the constant is not one, or has other labels.
    #[must_use]
    pub fn gauges<L: LabelSet>(&self, metric: &'static Metric) -> Family<L, Gauge> {
        self.describe(metric, Kind::Gauge);
        Family::new(keys::<L>(metric).map(|key| self.recorder.register_gauge(&key, &METADATA)).collect())
    }

    fn describe(&self, metric: &'static Metric, kind: Kind) {
        assert!(metric.kind == kind, "{} is a {}", metric.name, metric.kind.name());
        let (name, help) = (metric.name.into(), SharedString::const_str(metric.help));
        let unit = match metric.unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Seconds => metrics::Unit::Seconds,
            Unit::Bytes => metrics::Unit::Bytes,
        };
        match kind {
            Kind::Counter => self.recorder.describe_counter(name, Some(unit), help),
            Kind::Gauge => self.recorder.describe_gauge(name, Some(unit), help),
            Kind::Histogram(_) => self.recorder.describe_histogram(name, Some(unit), help),
        }
    }
}

fn plain(metric: &'static Metric) -> Key {
    assert!(metric.labels.is_empty(), "{} has labels", metric.name);
    Key::from_static_name(metric.name)
}

fn keys<L: LabelSet>(metric: &'static Metric) -> impl Iterator<Item = Key> {
    assert!(metric.labels == L::LABELS, "{} has other labels", metric.name);
    combinations(L::LABELS).into_iter().map(|pairs| {
        let labels = pairs.into_iter().map(|(key, value)| metrics::Label::from_static_parts(key, value));
        Key::from_parts(metric.name, labels.collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Roll;
    use crate::sample::{ENDS, LEVEL, both};

    #[test]
    fn every_series_is_registered_and_described() {
        let roll = Roll::default();
        both(&Registrar::new(&roll));
        assert_eq!(roll.described(), ["flame_ends_total", "flame_level"]);
        let series = ["flame_ends_total{end=badly}", "flame_ends_total{end=well}", "flame_level"];
        assert_eq!(roll.registered(), series);
    }

    #[test]
    #[should_panic(expected = "flame_level is a gauge")]
    fn a_constant_is_registered_as_what_it_is() {
        let _ = Registrar::off().counter(&LEVEL);
    }

    #[test]
    #[should_panic(expected = "flame_ends_total has labels")]
    fn labels_are_not_left_out() {
        let _ = Registrar::off().counter(&ENDS);
    }
}
