//! The metrics of an object cache, and the handles made from them.

use flame_metrics::{Counter, Family, Gauge, LabelSet, Metric, Registrar, Unit};

use crate::store::Held;

flame_metrics::labels! {
    /// What was asked of the cache.
    pub enum Operation: "operation" {
        /// To make or replace an object.
        Put = "put",
        /// To add a part.
        Patch = "patch",
        /// To read an object.
        Get = "get",
        /// To delete.
        Delete = "delete",
    }

    /// What became of it.
    pub enum Outcome: "outcome" {
        /// It was done.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }

    /// How an object went to or came from a client of the same host.
    pub enum ArenaOutcome: "outcome" {
        /// Through memory that both share.
        Shared = "shared",
        /// In a message: it was small.
        Inline = "inline",
        /// Not this way, but over the port of the cache: the memory was full, or the object was native Arrow.
        Elsewhere = "elsewhere",
    }

    /// Where an object that was read was found.
    pub enum Found: "found" {
        /// In memory.
        Memory = "memory",
        /// On disk.
        Disk = "disk",
    }
}

/// Operations.
pub static OPERATIONS: Metric =
    Metric::counter("flame_cache_operations_total", Unit::Count, "Operations on objects, by any protocol.")
        .by(<(Operation, Outcome)>::LABELS);

/// Bytes that came in.
pub static BYTES_IN: Metric =
    Metric::counter("flame_cache_in_bytes_total", Unit::Bytes, "Bytes of objects that were put and patches.");

/// Bytes that went out.
pub static BYTES_OUT: Metric =
    Metric::counter("flame_cache_out_bytes_total", Unit::Bytes, "Bytes of objects that were read by clients.");

/// Reads.
pub static READS: Metric =
    Metric::counter("flame_cache_reads_total", Unit::Count, "Objects that were read, by where they were found.")
        .by(Found::LABELS);

/// Evictions.
pub static EVICTIONS: Metric =
    Metric::counter("flame_cache_evictions_total", Unit::Count, "Objects that left memory to make room.");

/// Bytes written to disk.
pub static DISK_WRITTEN: Metric =
    Metric::counter("flame_cache_disk_written_bytes_total", Unit::Bytes, "Bytes of objects that were written to disk.");

/// Damaged files.
pub static DAMAGED: Metric = Metric::counter(
    "flame_cache_damaged_total",
    Unit::Count,
    "Files that were not what was written, and were set aside.",
);

/// Objects.
pub static OBJECTS: Metric = Metric::gauge("flame_cache_objects", Unit::Count, "Objects that the cache knows.");

/// Objects in memory.
pub static RESIDENT: Metric =
    Metric::gauge("flame_cache_objects_in_memory", Unit::Count, "Objects that are in memory.");

/// Bytes in memory.
pub static MEMORY: Metric = Metric::gauge("flame_cache_memory_bytes", Unit::Bytes, "Bytes of objects in memory.");

/// Bytes on their way.
pub static RESERVED: Metric = Metric::gauge(
    "flame_cache_reserved_bytes",
    Unit::Bytes,
    "Bytes of memory for objects that are on their way in, from clients or from disk.",
);

/// Bytes on disk.
pub static DISK: Metric = Metric::gauge("flame_cache_disk_bytes", Unit::Bytes, "Bytes of objects on disk.");

/// Objects of clients of the same host.
pub static ARENA: Metric = Metric::counter(
    "flame_cache_arena_operations_total",
    Unit::Count,
    "Puts and gets of clients of the same host, by how the object travelled.",
)
.by(<(Operation, ArenaOutcome)>::LABELS);

/// Clients of the same host.
pub static ARENA_CLIENTS: Metric = Metric::gauge(
    "flame_cache_arena_connections",
    Unit::Count,
    "Connections of clients of the same host that share memory with the cache.",
);

/// Memory that is shared and used.
pub static ARENA_BYTES: Metric = Metric::gauge(
    "flame_cache_arena_bytes",
    Unit::Bytes,
    "Bytes of the memory shared with clients of the same host that objects take.",
);

/// Every metric of this crate, in the order of the reference.
pub static METRICS: &[&Metric] = &[
    &OPERATIONS,
    &BYTES_IN,
    &BYTES_OUT,
    &READS,
    &EVICTIONS,
    &DISK_WRITTEN,
    &DAMAGED,
    &OBJECTS,
    &RESIDENT,
    &MEMORY,
    &RESERVED,
    &DISK,
    &ARENA,
    &ARENA_CLIENTS,
    &ARENA_BYTES,
];

/// Every metric that a cache shows: its own, and those of the process.
pub static ALL: &[&[&Metric]] = &[METRICS, flame_telemetry::metrics::METRICS];

/// The handles of a cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    operations: Family<(Operation, Outcome), Counter>,
    bytes_in: Counter,
    bytes_out: Counter,
}

impl CacheMetrics {
    /// Makes them.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            operations: registrar.counters(&OPERATIONS),
            bytes_in: registrar.counter(&BYTES_IN),
            bytes_out: registrar.counter(&BYTES_OUT),
        }
    }

    /// Something was asked; `bytes` of objects came in or went out by it.
    pub fn count<E>(&self, operation: Operation, outcome: &Result<u64, E>) {
        let Ok(bytes) = outcome else {
            self.operations.of((operation, Outcome::Refused)).increment(1);
            return;
        };
        self.operations.of((operation, Outcome::Done)).increment(1);
        match operation {
            Operation::Put | Operation::Patch => self.bytes_in.increment(*bytes),
            Operation::Get => self.bytes_out.increment(*bytes),
            Operation::Delete => {}
        }
    }
}

/// The handles of the store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    reads: Family<Found, Counter>,
    evictions: Counter,
    disk_written: Counter,
    damaged: Counter,
}

impl StoreMetrics {
    /// Makes them.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            reads: registrar.counters(&READS),
            evictions: registrar.counter(&EVICTIONS),
            disk_written: registrar.counter(&DISK_WRITTEN),
            damaged: registrar.counter(&DAMAGED),
        }
    }

    pub(crate) fn hit(&self) {
        self.reads.of(Found::Memory).increment(1);
    }

    pub(crate) fn loaded(&self) {
        self.reads.of(Found::Disk).increment(1);
    }

    pub(crate) fn evicted(&self) {
        self.evictions.increment(1);
    }

    pub(crate) fn written(&self, bytes: u64) {
        self.disk_written.increment(bytes);
    }

    pub(crate) fn damaged(&self) {
        self.damaged.increment(1);
    }
}

/// The handles of the arena.
#[derive(Clone, Debug)]
pub struct ArenaMetrics {
    operations: Family<(Operation, ArenaOutcome), Counter>,
    clients: Gauge,
}

impl ArenaMetrics {
    /// Makes them.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self { operations: registrar.counters(&ARENA), clients: registrar.gauge(&ARENA_CLIENTS) }
    }

    pub(crate) fn count(&self, operation: Operation, outcome: ArenaOutcome) {
        self.operations.of((operation, outcome)).increment(1);
    }

    /// A client is there until this is dropped.
    pub(crate) fn client(&self) -> ClientCounted {
        self.clients.increment(1.0);
        ClientCounted(self.clients.clone())
    }
}

/// A client that is there.
pub(crate) struct ClientCounted(Gauge);

impl Drop for ClientCounted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Gauges of what is there, set when somebody looks.
#[derive(Clone, Debug)]
pub struct Gauges {
    objects: Gauge,
    resident: Gauge,
    memory: Gauge,
    reserved: Gauge,
    disk: Gauge,
    arena: Gauge,
}

impl Gauges {
    /// Makes them.
    #[must_use]
    pub fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            objects: registrar.gauge(&OBJECTS),
            resident: registrar.gauge(&RESIDENT),
            memory: registrar.gauge(&MEMORY),
            reserved: registrar.gauge(&RESERVED),
            disk: registrar.gauge(&DISK),
            arena: registrar.gauge(&ARENA_BYTES),
        }
    }

    /// Shows how much there is.
    pub fn show(&self, held: Held, arena_bytes: u64) {
        self.objects.set(held.objects as f64);
        self.resident.set(held.resident as f64);
        self.memory.set(held.memory as f64);
        self.reserved.set(held.reserved as f64);
        self.disk.set(held.disk as f64);
        self.arena.set(arena_bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use flame_telemetry::ProcessGauges;

    use super::*;

    #[test]
    fn every_metric_is_registered_described_and_in_a_table() {
        let faults = flame_metrics::roll::faults(ALL, |registrar| {
            drop((CacheMetrics::register(registrar), StoreMetrics::register(registrar)));
            drop(ArenaMetrics::register(registrar));
            drop((Gauges::register(registrar), ProcessGauges::register(registrar)));
        });
        assert_eq!(faults, Vec::<String>::new());
    }

    /// The reference shows all metrics: `BLESS=1` writes it anew.
    #[test]
    fn the_reference_shows_every_metric() {
        const BEGIN: &str =
            "<!-- cache: begin (written by `BLESS=1 cargo nextest run --release -p flame-cache metrics`) -->\n";
        const END: &str = "<!-- cache: end -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
        flame_metrics::page::check(path, BEGIN, END, &flame_metrics::page::table(METRICS)).unwrap();
    }
}
