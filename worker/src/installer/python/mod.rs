//! Python projects: which interpreter runs them, what of them must be installed, and by whom.
//!
//! * [`version`][]: what is written `3.12`.
//! * [`interpreter`]: the interpreters of this host.
//! * [`project`]: what a project says about itself.
//! * [`install`]: with uv, with pip, or with neither where there is nothing to install.

pub(crate) mod install;
pub(crate) mod interpreter;
pub(crate) mod project;
pub(crate) mod version;

pub(crate) use interpreter::{Interpreter, Interpreters};
