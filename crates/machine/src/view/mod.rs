//! What readers see: owned copies of parts of the state, made in one short call between two batches.
//!
//! **Invariant:** a list is a page: `from` is exclusive, `limit` is the most entries it gives, and the last entry's key
//! is the next page's `from`.
//!
//! Inputs, outputs and finished tasks are not here: they are rows on disk. [`task_place`] says where to look.

mod cluster;
mod executors;
mod nodes;
mod objects;
mod sessions;
mod tasks;

pub use cluster::{AppView, ClusterView, NodeView, app, apps, cluster, node, nodes};
pub use executors::{ExecutorView, executor, executor_uuid, executors};
pub use nodes::{ExecutorLoad, NodeLoad, executors_on, node_load, node_loads};
pub use objects::{CacheView, ObjectView, PlaceView, caches, object, objects};
pub use sessions::{SessionView, find_session, session, sessions};
pub use tasks::{TaskPlace, TaskView, live_tasks, task, task_place};
