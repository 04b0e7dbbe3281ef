//! Closed sessions in the orders in which they leave. Derived from their rows.

use std::collections::{BTreeMap, BTreeSet};

use flame_types::{AppName, ClusterMs, SessionKey};

use super::ClosedRow;

/// Some closed sessions, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedGroup {
    /// All of them, by the time at which they were closed.
    pub order: BTreeSet<(ClusterMs, SessionKey)>,
    /// What their rows count for.
    pub bytes: u64,
}

/// The closed sessions of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedOfApp {
    /// All of them.
    pub all: ClosedGroup,
    /// Those that leave at the age which the application or the cluster says.
    pub aging: BTreeSet<(ClusterMs, SessionKey)>,
}

/// All closed sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedIndex {
    /// All of them.
    pub all: ClosedGroup,
    /// By application. None is empty.
    pub apps: BTreeMap<AppName, ClosedOfApp>,
    /// Those that say their own age, by the time at which they leave.
    pub own_age: BTreeSet<(ClusterMs, SessionKey)>,
}

impl ClosedGroup {
    fn insert(&mut self, row: &ClosedRow) {
        self.order.insert((row.closed_at, row.key));
        self.bytes += row.kept_bytes;
    }

    fn remove(&mut self, row: &ClosedRow) {
        self.order.remove(&(row.closed_at, row.key));
        self.bytes -= row.kept_bytes;
    }
}

impl ClosedIndex {
    /// Adds a session that was closed.
    pub fn insert(&mut self, row: &ClosedRow) {
        self.all.insert(row);
        let app = self.apps.entry(row.spec.application.clone()).or_default();
        app.all.insert(row);
        match row.spec.retention.closed.age_ms {
            Some(age_ms) => self.own_age.insert((row.closed_at.plus(age_ms), row.key)),
            None => app.aging.insert((row.closed_at, row.key)),
        };
    }

    /// Takes a session out.
    pub fn remove(&mut self, row: &ClosedRow) {
        self.all.remove(row);
        if let Some(age_ms) = row.spec.retention.closed.age_ms {
            self.own_age.remove(&(row.closed_at.plus(age_ms), row.key));
        }
        let Some(app) = self.apps.get_mut(&row.spec.application) else { return };
        app.all.remove(row);
        app.aging.remove(&(row.closed_at, row.key));
        if app.all.order.is_empty() {
            self.apps.remove(&row.spec.application);
        }
    }
}
