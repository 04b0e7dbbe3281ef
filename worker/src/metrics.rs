//! The metrics of a worker, and the handles made from them. Recorded by the agent's loop: once per round, not per task.

use flame_metrics::{Counter, Family, Gauge, LabelSet, Metric, Registrar, Unit};

use crate::executor::{End, Report};

flame_metrics::labels! {
    /// What became of a task here.
    pub enum TaskEnd: "end" {
        /// The service answered, and it was well.
        Succeeded = "succeeded",
        /// The service answered, and it was not.
        Failed = "failed",
        /// It was given back before it began.
        Returned = "returned",
        /// The lease had run out: it was given to another worker, and what it gives here is refused.
        Superseded = "superseded",
    }

    /// How an executor ended.
    pub enum ExecutorEnd: "end" {
        /// As it was told.
        Left = "left",
        /// It never entered its session.
        Unbound = "unbound",
        /// Its service died.
        Crashed = "crashed",
    }
}

/// Tasks that are over here.
pub static TASKS: Metric =
    Metric::counter("flame_worker_tasks_total", Unit::Count, "Tasks that are over on this worker.").by(TaskEnd::LABELS);

/// Tasks that are here.
pub static TASKS_HERE: Metric =
    Metric::gauge("flame_worker_tasks", Unit::Count, "Tasks that run on this worker, or wait behind one that runs.");

/// Executors.
pub static EXECUTORS: Metric = Metric::gauge("flame_worker_executors", Unit::Count, "Executors of this worker.");

/// Executors that ended.
pub static EXECUTORS_ENDED: Metric =
    Metric::counter("flame_worker_executors_ended_total", Unit::Count, "Executors of this worker that have ended.")
        .by(ExecutorEnd::LABELS);

/// Results.
pub static HELD: Metric =
    Metric::gauge("flame_worker_results_held", Unit::Count, "Results that the leader has not recorded yet.");

/// Their bytes.
pub static HELD_BYTES: Metric = Metric::gauge(
    "flame_worker_results_held_bytes",
    Unit::Bytes,
    "Bytes of the results that the leader has not recorded yet.",
);

/// Whether it is attached.
pub static ATTACHED: Metric =
    Metric::gauge("flame_worker_attached", Unit::Count, "1 while the stream to the leader stands, else 0.");

/// How often it attached.
pub static ATTACHMENTS: Metric = Metric::counter(
    "flame_worker_attachments_total",
    Unit::Count,
    "Times that a leader has taken this worker: all but the first are reconnections.",
);

/// Tries that failed.
pub static SETBACKS: Metric = Metric::counter(
    "flame_worker_setbacks_total",
    Unit::Count,
    "Tries to attach that a coordinator refused, passed on to another, or did not answer.",
);

/// Every metric of this crate, in the order of the reference.
pub static METRICS: &[&Metric] =
    &[&TASKS, &TASKS_HERE, &EXECUTORS, &EXECUTORS_ENDED, &HELD, &HELD_BYTES, &ATTACHED, &ATTACHMENTS, &SETBACKS];

/// Every metric that a worker shows: its own, and those of the process.
pub static ALL: &[&[&Metric]] = &[METRICS, flame_telemetry::metrics::METRICS];

/// The handles of a worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerMetrics {
    tasks: Family<TaskEnd, Counter>,
    tasks_here: Gauge,
    executors: Gauge,
    executors_ended: Family<ExecutorEnd, Counter>,
    held: Gauge,
    held_bytes: Gauge,
    attached: Gauge,
    attachments: Counter,
    setbacks: Counter,
}

/// What the worker has, after a round of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) tasks: usize,
    pub(crate) executors: usize,
    pub(crate) results: usize,
    pub(crate) result_bytes: usize,
}

/// What a round of reports says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    succeeded: u64,
    failed: u64,
    returned: u64,
    left: u64,
    unbound: u64,
    crashed: u64,
}

impl WorkerMetrics {
    pub(crate) fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            tasks: registrar.counters(&TASKS),
            tasks_here: registrar.gauge(&TASKS_HERE),
            executors: registrar.gauge(&EXECUTORS),
            executors_ended: registrar.counters(&EXECUTORS_ENDED),
            held: registrar.gauge(&HELD),
            held_bytes: registrar.gauge(&HELD_BYTES),
            attached: registrar.gauge(&ATTACHED),
            attachments: registrar.counter(&ATTACHMENTS),
            setbacks: registrar.counter(&SETBACKS),
        }
    }

    /// A leader has taken the worker.
    pub(crate) fn attached(&self) {
        self.attached.set(1.0);
        self.attachments.increment(1);
    }

    /// The stream is gone.
    pub(crate) fn detached(&self) {
        self.attached.set(0.0);
    }

    /// So many tasks were given to other workers.
    pub(crate) fn superseded(&self, tasks: usize) {
        self.tasks.of(TaskEnd::Superseded).increment(tasks as u64);
    }

    /// A try to attach has failed.
    pub(crate) fn setback(&self) {
        self.setbacks.increment(1);
    }

    /// A round of reports is over.
    pub(crate) fn count(&self, tally: &Tally) {
        for (end, count) in [
            (TaskEnd::Succeeded, tally.succeeded),
            (TaskEnd::Failed, tally.failed),
            (TaskEnd::Returned, tally.returned),
        ] {
            if count > 0 {
                self.tasks.of(end).increment(count);
            }
        }
        for (end, count) in [
            (ExecutorEnd::Left, tally.left),
            (ExecutorEnd::Unbound, tally.unbound),
            (ExecutorEnd::Crashed, tally.crashed),
        ] {
            if count > 0 {
                self.executors_ended.of(end).increment(count);
            }
        }
    }

    /// A round of the loop is over.
    pub(crate) fn show(&self, holdings: Holdings) {
        self.tasks_here.set(holdings.tasks as f64);
        self.executors.set(holdings.executors as f64);
        self.held.set(holdings.results as f64);
        self.held_bytes.set(holdings.result_bytes as f64);
    }
}

impl Tally {
    /// Takes one report in.
    pub(crate) fn add(&mut self, report: &Report) {
        match report {
            Report::Ready { .. } => {}
            Report::Done { completions, .. } => {
                let succeeded = completions.iter().filter(|completion| completion.succeed).count() as u64;
                self.succeeded += succeeded;
                self.failed += completions.len() as u64 - succeeded;
            }
            Report::Returned { tokens } => self.returned += tokens.len() as u64,
            Report::Ended { end: End::Left, .. } => self.left += 1,
            Report::Ended { end: End::Bind { .. }, .. } => self.unbound += 1,
            Report::Ended { end: End::Crashed { .. }, .. } => self.crashed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_proto::ha;
    use flame_telemetry::ProcessGauges;
    use flame_types::{ExecutorKey, Token};

    use super::*;

    #[test]
    fn every_metric_is_registered_described_and_in_a_table() {
        let faults = flame_metrics::roll::faults(ALL, |registrar| {
            drop((WorkerMetrics::register(registrar), ProcessGauges::register(registrar)));
        });
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn each_report_is_counted_as_what_it_is() {
        let executor = ExecutorKey(1);
        let completion = |succeed| ha::Completion { succeed, ..ha::Completion::default() };
        let mut tally = Tally::default();
        for report in [
            Report::Done { executor, completions: vec![completion(true), completion(false), completion(true)] },
            Report::Returned { tokens: vec![Token(1), Token(2)] },
            Report::Ended { executor, end: End::Left },
            Report::Ended { executor, end: End::Crashed { started: vec![Token(3)], message: String::new() } },
        ] {
            tally.add(&report);
        }
        let expected = Tally { succeeded: 2, failed: 1, returned: 2, left: 1, unbound: 0, crashed: 1 };
        assert_eq!(tally, expected);
    }

    /// The reference shows all metrics: `BLESS=1` writes it anew.
    #[test]
    fn the_reference_shows_every_metric() {
        const BEGIN: &str =
            "<!-- worker: begin (written by `BLESS=1 cargo nextest run --release -p flame-worker metrics`) -->\n";
        const END: &str = "<!-- worker: end -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
        flame_metrics::page::check(path, BEGIN, END, &flame_metrics::page::table(METRICS)).unwrap();
    }
}
