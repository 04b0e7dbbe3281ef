//! How a service comes to run on this host: folders, environment, process, logs, and the cleaning up after a worker
//! that died.
//!
//! **Invariant:** no service outlives its worker. Each dies with the thread that started it ([`exec`]), is killed with
//! its whole process group when its executor ends ([`process`]), and what slipped through both is killed at the next
//! start from the records on disk ([`leftovers`]).
//!
//! **Invariant:** nothing here is named after text of a user: files are named after executor keys.
//!
//! | module | holds |
//! |---|---|
//! | [`host`] | the published process protocol: command, environment, folders |
//! | [`expand`] | `$VAR` and `${VAR}` |
//! | [`spawner`] | the one thread that starts processes |
//! | [`exec`] | what a started process does before it becomes the service |
//! | [`process`] | one running service: its exit, its signals, its end |
//! | [`record`] | the file that lets a successor find a process |
//! | [`leftovers`] | kills what a predecessor left |
//! | [`logs`] | where services write, and the last lines of it |

pub mod exec;
pub(crate) mod expand;
pub(crate) mod host;
pub(crate) mod leftovers;
pub(crate) mod logs;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod spawner;
