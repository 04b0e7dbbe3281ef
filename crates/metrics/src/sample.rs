//! Two metrics for the tests of this crate, one of them with a label.

use crate::{LabelSet, Metric, Registrar, Unit};

crate::labels! {
    /// How something ended.
    pub(crate) enum End: "end" {
        /// Well.
        Well = "well",
        /// Badly.
        Badly = "badly",
    }
}

pub(crate) static LEVEL: Metric = Metric::gauge("flame_level", Unit::Count, "Help.");
pub(crate) static ENDS: Metric = Metric::counter("flame_ends_total", Unit::Count, "Help.").by(End::LABELS);

/// Registers both and records something.
pub(crate) fn both(registrar: &Registrar<'_>) {
    let _level = registrar.gauge(&LEVEL);
    let ends = registrar.counters::<End>(&ENDS);
    for end in [End::Well, End::Badly] {
        ends.of(end).increment(1);
    }
}
