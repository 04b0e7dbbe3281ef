//! What was registered: for the tests that compare it with a crate's table.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

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
