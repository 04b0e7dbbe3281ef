//! Time advances, and what became due happens.

use flame_types::Token;

use super::batch::Apply;
use super::ending::Failure;
use crate::effect::Order;
use crate::state::{AssignmentRow, Timer};

impl Apply<'_> {
    /// Advances cluster time by what the leader stamped, then does what is due, the earliest first.
    pub(super) fn advance_time(&mut self, delta_ms: u32) {
        let cluster = &mut self.state.cluster;
        let before = (cluster.time, cluster.wall);
        cluster.time = cluster.time.plus(u64::from(delta_ms));
        cluster.wall = self.wall;
        self.changes.cluster |= before != (cluster.time, cluster.wall);
        // All are taken out before the first one acts: what one changes must not swallow another that is due as well.
        let due = self.state.timers.pop_due(self.state.cluster.time);
        for timer in &due {
            self.forget_timer(*timer);
        }
        for timer in due {
            self.due(timer);
            self.settle();
        }
    }

    /// The thing to which a deadline belongs does not have it any more.
    fn forget_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Gang(session) => {
                if let Some(found) = self.state.sessions.get_mut(&session) {
                    found.gang_timer = None;
                }
            }
            Timer::Placement(session) => {
                if let Some(found) = self.state.sessions.get_mut(&session) {
                    found.placement_timer = None;
                }
            }
            Timer::Idle(executor) => {
                if let Some(found) = self.state.executors.get_mut(&executor) {
                    found.idle_timer = None;
                }
            }
            Timer::Avoidance => self.state.avoidance_timer = None,
            Timer::Retry(..) | Timer::Timeout(_) => {}
        }
    }

    fn due(&mut self, timer: Timer) {
        let now = self.state.cluster.time;
        match timer {
            Timer::Retry(session, task) => {
                if let Some(found) = self.state.sessions.get_mut(&session) {
                    found.pending.wake(task, now);
                    self.touched.insert(session);
                }
            }
            Timer::Timeout(token) => self.time_out(token),
            Timer::Gang(session) => {
                let patience_ms = self.state.cluster.config.gang_patience_ms;
                let since = self.state.sessions.get(&session).and_then(|found| found.row.gang_short_since);
                if since.is_some_and(|since| since.plus(patience_ms) <= now) {
                    self.give_gang_back(session);
                }
            }
            Timer::Placement(session) => {
                self.touched.insert(session);
                self.placement_dirty = true;
            }
            Timer::Idle(executor) => {
                self.state.index_executor(executor);
                self.touched.extend(self.state.executors.get(&executor).map(|found| found.row.session));
                self.placement_dirty = true;
            }
            Timer::Avoidance => {
                self.state.end_avoidances();
                self.placement_dirty = true;
            }
        }
    }

    /// The service may still work on the task: its worker is told to stop that, and its answer counts no more.
    fn time_out(&mut self, token: Token) {
        let now = self.state.cluster.time;
        let overdue = |row: &&AssignmentRow| row.deadline.is_some_and(|deadline| deadline <= now);
        let Some(row) = self.state.assignments.get(&token).filter(overdue) else { return };
        let timeout_ms = self.state.timeout_ms(row.session, row.story.as_deref()).unwrap_or(0);
        let message = Some(format!("task ran longer than its timeout of {timeout_ms} ms"));
        let (row, attempt) = self.vacate(token);
        self.fail_attempt(Failure { row, attempt, output: None, message, ran_us: 0 });
        self.order_tokens(&[token], |tokens| Order::Cancel { tokens });
    }
}
