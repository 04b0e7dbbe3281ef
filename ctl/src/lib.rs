//! The commands people type: `flmctl` for users and operators, `flmping` to see a cluster work, `flmexec` to
//! run scripts on it, and the services of both.
//!
//! **Invariant:** data goes to stdout, everything else to stderr; a reader that goes away (broken pipe) is no error.
//! **Invariant:** every reading command has every output format: [`render::Render`] cannot be had by halves. The JSON is
//! the reply of the API, and a table never shows what the JSON lacks.
//! **Invariant:** the exit code says what happened ([`exit::Exit`]), and an error says what to do next.
//! **Invariant:** no calls of its own: what a command needs, `flame-sdk` offers to every program.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the grammar of `flmctl` and one file for each verb |
//! | [`render`] | values as tables, JSON and YAML |
//! | [`deploy`] | packages made of folders, archives and programs |
//! | [`dev`] | a whole cluster on this machine |
//! | [`bulk`] | running many tasks, for the two below |
//! | [`ping`] | `flmping`, client and service |
//! | [`exec`] | `flmexec`, client and service |
//! | [`manifest`] | the YAML that describes applications |
//! | [`exit`] | exit codes and errors |
//! | [`explain`] | what exit codes mean, and what to do |
//! | [`output`] | stdout, colours |
//! | [`time`] | times and durations for people |
//!
//! Start with [`cli::main`].

pub mod bulk;
pub mod cli;
pub mod deploy;
pub mod dev;
pub mod exec;
pub mod exit;
pub mod explain;
pub mod manifest;
pub mod output;
pub mod ping;
pub mod render;
pub mod time;
