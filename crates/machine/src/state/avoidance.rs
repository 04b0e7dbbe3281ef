//! Workers on which executors fail to enter their sessions are avoided for a while.
//!
//! After some failures in a row ([`NodeAvoidance::failures`]) a worker gets no executor until an instant of cluster time.
//! After that it is on trial: one executor at a time (or one gang, which is of no use in parts), whose failure begins
//! another, longer while. One executor that enters its session clears the worker.
//!
//! Whose fault is a failure, the worker's or the session's? Nobody knows at first, so only those are kept away who have
//! failed: one session; from the second session on its whole application; from the second application on everybody. So a
//! broken session takes no worker from the others, and a broken worker costs each of them little.
//!
//! **Invariant:** a worker is avoided for a bounded time. A session that only this worker could serve waits, but not for
//! ever.

use flame_types::{AppName, ClusterMs, ExecutorKey, SessionKey, retries::doubled};
use serde::{Deserialize, Serialize};

use super::{Executor, Node, Session, State};
use crate::config::NodeAvoidance;

/// Who is kept away from a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Circle {
    /// Nothing has failed.
    #[default]
    Nobody,
    /// All failures in a row were of one session, of this application.
    Session(SessionKey, AppName),
    /// They were of several sessions of one application.
    App(AppName),
    /// They were of several applications.
    Everybody,
}

/// What is remembered of failures on a worker, beside their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Avoidance {
    /// Whose executors failed.
    pub circle: Circle,
    /// Times in a row that it was avoided for a while.
    pub periods: u32,
    /// The end of the last of them.
    pub until: ClusterMs,
    /// The executor that is on trial.
    pub probe: Option<ExecutorKey>,
}

/// A session that could use a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The session.
    pub session: SessionKey,
    /// Its application.
    pub app: &'a AppName,
    /// It needs several executors at once.
    pub is_gang: bool,
}

/// How far a session may use a worker, after what failed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// As if nothing had failed.
    Full,
    /// One executor at a time.
    Trial,
    /// Not now.
    Avoided,
}

impl Circle {
    /// Whether it holds a session.
    #[must_use]
    pub fn holds(&self, session: SessionKey, app: &AppName) -> bool {
        match self {
            Self::Nobody => false,
            Self::Session(only, _) => *only == session,
            Self::App(only) => only == app,
            Self::Everybody => true,
        }
    }

    /// The smallest circle around what it holds and a session.
    fn widen(&mut self, session: SessionKey, app: &AppName) {
        *self = match std::mem::take(self) {
            Self::Nobody => Self::Session(session, app.clone()),
            same if same.holds(session, app) => same,
            Self::Session(_, known) if known == *app => Self::App(known),
            Self::Session(..) | Self::App(_) | Self::Everybody => Self::Everybody,
        };
    }
}

impl Node {
    /// How far a session may use it.
    #[must_use]
    pub fn trust(&self, asker: Asker<'_>, now: ClusterMs) -> Trust {
        let Avoidance { circle, periods, until, .. } = &self.row.avoidance;
        match circle.holds(asker.session, asker.app) && *periods > 0 {
            false => Trust::Full,
            true if *until > now => Trust::Avoided,
            true if asker.is_gang => Trust::Full,
            true => Trust::Trial,
        }
    }

    /// One more executor failed to enter its session. Failures while it is avoided are of executors that were placed
    /// before: they tell nothing new.
    pub(crate) fn count_failure(&mut self, session: SessionKey, app: &AppName, now: ClusterMs, limits: &NodeAvoidance) {
        self.row.bind_failures = self.row.bind_failures.saturating_add(1);
        let avoidance = &mut self.row.avoidance;
        avoidance.circle.widen(session, app);
        if self.row.bind_failures >= limits.failures && avoidance.until <= now {
            avoidance.periods = avoidance.periods.saturating_add(1);
            avoidance.until = now.plus(doubled(limits.backoff_ms, avoidance.periods, limits.backoff_ms_max));
            avoidance.probe = None;
        }
    }

    /// An executor has entered its session, or the worker was started anew: what failed before counts no more. Says
    /// whether anything had.
    pub(crate) fn forgive(&mut self) -> bool {
        self.row.avoidance = Avoidance::default();
        std::mem::take(&mut self.row.bind_failures) > 0
    }
}

impl State {
    /// Whether a session may be given an executor on a worker, as far as earlier failures go.
    #[must_use]
    pub fn trusts(&self, node: &Node, session: &Session) -> bool {
        match node.trust(session.asker(), self.now()) {
            Trust::Full => true,
            Trust::Trial => !self.has_probe(node),
            Trust::Avoided => false,
        }
    }

    /// Whether an executor is on trial on a worker and has not entered its session yet.
    #[must_use]
    pub fn has_probe(&self, node: &Node) -> bool {
        let probe = node.row.avoidance.probe.and_then(|key| self.executors.get(&key));
        probe.is_some_and(Executor::is_attached)
    }

    /// Whether another worker on which nothing has failed could serve a session, were it empty.
    pub(crate) fn has_better_node(&self, session: &Session) -> bool {
        let Some(app) = self.apps.get(session.app()) else { return false };
        let could = |node: &Node| {
            node.row.bind_failures == 0
                && node.takes_executors()
                && node.row.shims.contains(&app.row.spec.shim)
                && session.asked.spec.resources.fits(node.row.capacity)
        };
        self.nodes.values().any(could)
    }
}
