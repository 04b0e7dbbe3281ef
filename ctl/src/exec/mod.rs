//! `flmexec`: runs Python and shell scripts on the workers of a cluster.
//!
//! A task is a script: its code, its language, its input. The service writes the code into a fresh folder, runs it with
//! the interpreter that was asked for, and gives back what it wrote. Between the service and the script stands a
//! [`keeper`]: a process of its own that ends everything the script has started when the service says so, and also when
//! the service dies.
//!
//! **Invariant:** a task succeeds only if its script ended with exit code 0. Anything else fails it, and the message says
//! what, with the end of what the script wrote to stderr.
//! **Invariant:** when a task has ended, so has every process that its script started, also those that went to the
//! background or into sessions of their own. Its folder goes with it, or with the folder of a service that was killed.
//! **Invariant:** nothing is cut silently: too long a stdout fails the task, too long a stderr begins with what was left
//! out.
//! **Invariant:** a script that reads its standard input finds what its task brings, then the end: it never waits for ever.
//!
//! This is no sandbox: scripts run as the user of the worker and may do what that user may.
//!
//! | module | holds |
//! |---|---|
//! | `args`, `source`, `run`, `report` | the command: what is typed, where scripts come from, what is printed |
//! | `payload` | what goes to the service and comes back, as JSON |
//! | [`service`] | what a worker starts |
//! | `job` | a task's own words and those of its session, put together and checked |
//! | `interpreter`, `environment` | which program runs a script, and what it finds in its environment |
//! | `script` | one run of one script |
//! | `capture` | what a script wrote, within bounds |
//! | [`keeper`], `processes` | the process that ends whatever a script has started |

mod args;
mod capture;
mod environment;
mod interpreter;
mod job;
pub mod keeper;
mod payload;
mod processes;
mod report;
mod run;
mod script;
pub mod service;
mod source;

pub use args::{ExecArgs, command};
pub use capture::{STDERR_BYTES_MAX, STDOUT_BYTES_MAX};
pub use payload::{ScriptInput, ScriptOutput};
pub use report::{ExecView, ScriptEnd};
pub use run::main;
