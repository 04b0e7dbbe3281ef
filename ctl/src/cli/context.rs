//! What every verb needs: the connection, and how to print.

use std::time::Duration;

use flame_sdk::endpoints::Environment;
use flame_sdk::{Connection, Endpoints, Options};

use super::GlobalArgs;
use crate::exit::Failure;
use crate::output::{Reader, print};
use crate::render::{Format, Render, render};

/// The connection of a command and how it prints.
#[derive(Debug)]
pub struct Context {
    /// The cluster.
    pub connection: Connection,
    /// Whether to use colours.
    pub color: bool,
    /// How long it may wait for something; for ever when not given.
    pub patience: Option<Duration>,
}

impl Context {
    /// Finds the cluster. Connects at the first call.
    ///
    /// # Errors
    /// Says which flag, variable or file is wrong.
    pub fn open(global: &GlobalArgs) -> Result<Self, Failure> {
        Self::open_with(global, |options| options)
    }

    /// The same with other options than those of most commands.
    ///
    /// # Errors
    /// As above.
    pub fn open_with(global: &GlobalArgs, change: impl FnOnce(Options) -> Options) -> Result<Self, Failure> {
        let environment = Environment::of_process();
        let endpoints = Endpoints::discover(&global.endpoint, global.config.as_deref(), &environment)?;
        let default = Options::default();
        let deadline = global.timeout.unwrap_or(default.deadline);
        let (attempt_timeout, patience) =
            (default.attempt_timeout.min(deadline), global.timeout.unwrap_or(default.patience));
        let tls = global.tls.clone().into();
        let options = Options { deadline, attempt_timeout, patience, tls, ..default };
        let connection = Connection::open(endpoints, change(options))?;
        Ok(Self { connection, color: global.color.applies_to_stdout(), patience: global.timeout })
    }

    /// Prints a value.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show<T: Render>(&self, value: &T, format: Format) -> Result<Reader, Failure> {
        print(&render(value, format, self.color)?)
    }
}
