//! What was registered: for the tests that compare it with a crate's tables.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::metric::{self, Metric};
use crate::register::Registrar;

/// What is wrong between tables of metrics and the handles that are made from them: in every table must be what is
/// registered, and nothing else, by the rules of names.
#[must_use]
pub fn faults(tables: &[&[&Metric]], register: impl FnOnce(&Registrar<'_>)) -> Vec<String> {
    let roll = Roll::default();
    register(&Registrar::new(&roll));
    let listed: Vec<&Metric> = tables.iter().copied().flatten().copied().collect();
    let mut faults = metric::faults(&listed);
    let listed: BTreeSet<String> = listed.iter().map(|metric| metric.name.to_owned()).collect();
    let registered: BTreeSet<String> = roll.registered().iter().map(|series| name_of(series).to_owned()).collect();
    for (found, what) in [(registered, "registered"), (roll.described().into_iter().collect(), "described")] {
        faults.extend(listed.difference(&found).map(|name| format!("{name}: is in a table and not {what}")));
        faults.extend(found.difference(&listed).map(|name| format!("{name}: is {what} and in no table")));
    }
    faults
}

fn name_of(series: &str) -> &str {
    series.split_once('{').map_or(series, |(name, _)| name)
}

/// A recorder that notes names and records nothing.
#[derive(Debug, Default)]
pub struct Roll {
    described: Mutex<BTreeSet<String>>,
    registered: Mutex<BTreeSet<String>>,
}

impl Roll {
    /// Names of all metrics that were described, in order.
    #[must_use]
    pub fn described(&self) -> Vec<String> {
        sorted(&self.described)
    }

    /// All series that were registered, as `name{key=value,…}`, in order.
    #[must_use]
    pub fn registered(&self) -> Vec<String> {
        sorted(&self.registered)
    }

    fn describe(&self, name: &KeyName) {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).insert(name.as_str().to_owned());
    }

    fn register(&self, key: &Key) {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = key.name();
        let series = if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) };
        self.registered.lock().unwrap_or_else(PoisonError::into_inner).insert(series);
    }
}

fn sorted(names: &Mutex<BTreeSet<String>>) -> Vec<String> {
    names.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

impl Recorder for Roll {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.register(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.register(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.register(key);
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{ENDS, LEVEL, both};

    #[test]
    fn tables_and_handles_that_agree_have_no_faults() {
        assert_eq!(faults(&[&[&LEVEL], &[&ENDS]], both), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_on_either_side_is_named() {
        let unlisted = faults(&[&[&LEVEL]], both);
        assert_eq!(
            unlisted,
            ["flame_ends_total: is registered and in no table", "flame_ends_total: is described and in no table"]
        );
        let unregistered = faults(&[&[&LEVEL, &ENDS]], |registrar| drop(registrar.gauge(&LEVEL)));
        assert_eq!(unregistered.len(), 2, "{unregistered:?}");
        assert!(unregistered[0].contains("flame_ends_total: is in a table and not registered"), "{unregistered:?}");
        assert!(!faults(&[&[&LEVEL], &[&LEVEL, &ENDS]], both).is_empty(), "twice");
    }
}
