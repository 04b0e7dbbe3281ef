//! `flame.ha.v1.Operate`: what operators ask and order beyond the coordinators themselves.
//!
//! | file | holds |
//! |---|---|
//! | `service.rs` | the methods, each a call of one of the others |
//! | `nodes.rs` | workers and what they hold; cordon and drain |
//! | `explain.rs` | why a task does not run |
//! | `events.rs` | what happened in the cluster |
//! | `logs.rs` | what installs wrote on workers |

mod events;
mod explain;
mod logs;
mod nodes;
mod service;

pub use service::OperateService;
