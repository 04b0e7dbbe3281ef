//! Whether a task may begin on this worker.
//!
//! Two things forbid it: too many results that wait to be recorded, and a lease that may be over. When a lease is over
//! the leader gives what waits here to others; a worker that was cut off, or stood still for a while, must not begin it
//! too. What has begun goes on: its result counts if the leader has not given the task away, and is refused otherwise.
//!
//! The lease is counted from the moment at which the last acknowledged renewal was *sent*, and a tenth is taken off for
//! clocks that run at different speeds: so it is over here before it is over at the leader, however long the answer
//! took.
//!
//! **Invariant:** a task does not begin at a moment at which the leader may have given it away.

use std::time::Duration;

use flame_proto::ha;
use tokio::sync::watch;
use tokio::time::Instant;

/// The share of a lease that is believed in, in percent.
const BELIEVED_PERCENT: u32 = 90;

/// What every executor asks before it begins a task.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    results: watch::Receiver<bool>,
    lease: watch::Receiver<Option<Instant>>,
}

/// Whoever could open the gate is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abandoned;

impl Gate {
    /// `results` says whether results may be made.
    pub(crate) fn new(results: watch::Receiver<bool>, lease: &Lease) -> Self {
        Self { results, lease: lease.until.subscribe() }
    }

    /// Whether a task may begin now.
    pub(crate) fn may_start(&mut self) -> bool {
        self.may_start_at(Instant::now())
    }

    fn may_start_at(&mut self, now: Instant) -> bool {
        let is_believed = self.lease.borrow_and_update().is_none_or(|until| now < until);
        *self.results.borrow_and_update() && is_believed
    }

    /// Waits until it may have opened.
    pub(crate) async fn changed(&mut self) -> Result<(), Abandoned> {
        let changed = tokio::select! {
            changed = self.results.changed() => changed,
            changed = self.lease.changed() => changed,
        };
        changed.map_err(|_gone| Abandoned)
    }
}

/// The lease, as the agent knows it.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Until when it is believed in; for ever when no leader has said how long it lasts.
    until: watch::Sender<Option<Instant>>,
    /// How long it lasts from a renewal, as far as it is believed in.
    silent: Option<Duration>,
    /// The same when the stream has broken.
    broken: Option<Duration>,
    /// When the last renewal was sent that was acknowledged.
    renewed: Instant,
}

impl Lease {
    pub(crate) fn new() -> Self {
        Self { until: watch::Sender::new(None), silent: None, broken: None, renewed: Instant::now() }
    }

    /// A leader has taken the Hello that was sent at this time.
    pub(crate) fn on_welcome(&mut self, hello_sent: Instant, welcome: &ha::Welcome) {
        self.silent = believed(welcome.lease_ms);
        self.broken = believed(welcome.detached_lease_ms);
        self.renewed = hello_sent;
        self.believe(self.silent, Instant::now());
    }

    /// The leader has acknowledged a renewal that was sent at this time.
    pub(crate) fn on_renewed(&mut self, sent: Instant) {
        self.renewed = self.renewed.max(sent);
        self.believe(self.silent, Instant::now());
    }

    /// The stream broke: the leader knows it too, and waits less.
    pub(crate) fn on_broken(&mut self) {
        self.believe(self.broken, Instant::now());
    }

    /// Executors look at the time themselves: they are woken only when they may have found the lease over.
    fn believe(&self, lasts: Option<Duration>, now: Instant) {
        let believed = lasts.map(|lasts| self.renewed + lasts);
        self.until.send_if_modified(|until| {
            let was_over = until.is_some_and(|until| until <= now);
            *until = believed;
            was_over
        });
    }
}

fn believed(lasts_ms: u64) -> Option<Duration> {
    (lasts_ms > 0).then(|| Duration::from_millis(lasts_ms) * BELIEVED_PERCENT / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn welcome() -> ha::Welcome {
        ha::Welcome { lease_ms: 10_000, detached_lease_ms: 5_000, ..ha::Welcome::default() }
    }

    /// Attached by a Hello that was sent so long ago.
    fn attached(ago: Duration) -> (Lease, Gate, watch::Sender<bool>) {
        let mut lease = Lease::new();
        let (results, open) = watch::channel(true);
        let gate = Gate::new(open, &lease);
        lease.on_welcome(Instant::now() - ago, &welcome());
        (lease, gate, results)
    }

    #[test]
    fn nothing_begins_once_the_lease_may_be_over() {
        let begun = Instant::now();
        let (_lease, mut gate, _results) = attached(Duration::ZERO);
        assert!(gate.may_start_at(begun + SECOND * 89 / 10));
        assert!(!gate.may_start_at(Instant::now() + SECOND * 9), "a tenth before the leader sees it so");
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_what_was_acknowledged() {
        let (mut lease, mut gate, _results) = attached(SECOND * 20);
        assert!(!gate.may_start(), "the answer came late, and so it is worth nothing");
        let now = Instant::now();
        lease.on_renewed(now - SECOND * 8);
        assert!(gate.may_start_at(now) && !gate.may_start_at(now + SECOND));
        lease.on_renewed(now - SECOND * 9);
        assert!(gate.may_start_at(now), "an answer to an older one changes nothing");
    }

    #[test]
    fn a_broken_stream_leaves_less_time() {
        let begun = Instant::now();
        let (mut lease, mut gate, _results) = attached(Duration::ZERO);
        lease.on_broken();
        assert!(gate.may_start_at(begun + SECOND * 4));
        assert!(!gate.may_start_at(begun + SECOND * 5));
    }

    #[tokio::test]
    async fn only_who_may_have_found_the_lease_over_is_woken() {
        let (mut lease, mut gate, results) = attached(SECOND);
        assert!(gate.may_start());
        lease.on_renewed(Instant::now());
        assert!(!gate.lease.has_changed().expect("the agent is there"), "it was in time");

        let (mut lapsed, mut waiting, _results) = attached(SECOND * 20);
        assert!(!waiting.may_start());
        lapsed.on_renewed(Instant::now());
        waiting.changed().await.expect("the agent is there");
        assert!(waiting.may_start());

        results.send_replace(false);
        gate.changed().await.expect("the agent is there");
        assert!(!gate.may_start());
    }

    #[test]
    fn a_leader_that_does_not_say_how_long_is_believed_for_ever() {
        let (mut lease, mut gate, _results) = attached(SECOND * 20);
        lease.on_welcome(Instant::now(), &ha::Welcome::default());
        lease.on_broken();
        assert!(gate.may_start_at(Instant::now() + SECOND * 1000));
    }
}
