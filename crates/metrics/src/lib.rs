//! What a metric is: its name, unit, labels and help as a constant, and handles that are made once.
//!
//! Each crate that measures something has one `metrics.rs` with its constants, a table of them all, and structs of the
//! handles made from them. This crate knows no exporter and no process-wide registry: a [`Registrar`] is handed down to
//! whoever registers, so two nodes in one process (as in tests) do not mix, and a node without metrics gets handles that
//! do nothing.
//!
//! * **Invariant:** what is registered is described: a handle can only be made from a [`Metric`].
//! * **Invariant:** labels are enums with a few values ([`Label`]), never ids: every series there will ever be exists
//!   from the start, at zero.
//! * **Invariant:** recording takes a handle, no name is looked up, and happens once per batch, not once per task.
//!
//! | module | holds |
//! |---|---|
//! | [`metric`] | the constants |
//! | [`label`] | labels as enums |
//! | [`register`] | constants to handles |
//! | [`family`] | one handle per value of a label |
//! | [`stopwatch`] | how long something took |
//! | [`roll`] | what was registered, and whether it is what a crate's tables say: for their tests |
//! | [`page`] | the table of the reference page, and whether a page has it: for tests |

pub mod family;
pub mod label;
pub mod metric;
pub mod page;
pub mod register;
pub mod roll;
#[cfg(test)]
mod sample;
pub mod stopwatch;

pub use family::Family;
pub use label::{Label, LabelNames, LabelSet, RELEASE};
pub use metric::{Kind, Metric, Scale, Unit};
pub use metrics::{Counter, Gauge, Histogram, Recorder};
pub use register::Registrar;
pub use roll::Roll;
pub use stopwatch::Stopwatch;
