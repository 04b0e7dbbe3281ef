//! Values as tables, JSON and YAML.
//!
//! **Invariant:** one trait holds all formats, so a command that prints anything prints it in each of them.
//! **Invariant:** rendering is a function of the value: the golden files of this crate pin every format.

mod applications;
mod backup;
mod caches;
mod cluster;
mod deployment;
mod details;
mod events;
mod executors;
mod explanation;
mod grid;
mod install_logs;
mod levels;
mod membership;
mod node_loads;
mod nodes;
mod objects;
mod proxy;
mod sessions;
mod tasks;

use clap::ValueEnum;
use serde::Serialize;

pub use applications::{ApplicationView, Applications};
pub use backup::{BackupTaken, megabytes};
pub use caches::CacheNodes;
pub use cluster::{ClusterStatus, MemberList, MemberRow, Verdict};
pub use deployment::Deployment;
pub use events::EventList;
pub use executors::Executors;
pub use explanation::ExplanationView;
pub use grid::Grid;
pub use install_logs::InstallLogs;
pub use levels::{LevelView, Says, levels_text};
pub use membership::{MembershipStep, MembershipSteps, plan_text};
pub use node_loads::{NodeLoadView, NodeLoads};
pub use nodes::{NodeView, Nodes};
pub use objects::{ObjectDone, Objects};
pub use proxy::ProxyView;
pub use sessions::{SessionRow, SessionView, Sessions};
pub use tasks::{TaskRow, TaskTable, TaskView};

use crate::exit::Failure;

/// How a value is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: the published tables.
    #[default]
    Table,
    /// For programs: the reply of the API.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Something that can be printed in every format. JSON and YAML come from [`Serialize`].
pub trait Render: Serialize {
    /// For people.
    fn sheet(&self) -> Sheet;
}

/// What people see: a grid, or lines, or lines below a grid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Rows and columns.
    pub grid: Option<Grid>,
    /// Lines of text, below it.
    pub text: String,
}

impl Sheet {
    /// Only a grid.
    #[must_use]
    pub fn of_grid(grid: Grid) -> Self {
        Self { grid: Some(grid), text: String::new() }
    }

    /// Only lines.
    #[must_use]
    pub fn of_text(text: String) -> Self {
        Self { grid: None, text }
    }

    /// The whole sheet.
    #[must_use]
    pub fn print(&self, color: bool) -> String {
        let grid = self.grid.as_ref().map(|grid| grid.print(color)).unwrap_or_default();
        grid + &self.text
    }

    /// What is new since `before`; nothing when nothing is.
    #[must_use]
    pub fn print_changes(&self, before: &Self, color: bool) -> String {
        if self == before {
            return String::new();
        }
        match (&self.grid, &before.grid) {
            (Some(now), Some(then)) if self.text == before.text => now.print_changes(then, color),
            _ => format!("\n{}", self.print(color)),
        }
    }
}

/// Prints a value.
///
/// # Errors
/// When the value has no JSON or YAML form, which would be a defect of this program.
pub fn render<T: Render>(value: &T, format: Format, color: bool) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(value.sheet().print(color)),
        Format::Json | Format::Yaml => value_in(value, format),
    }
}

/// The same of something that has no table.
pub fn value_in<T: Serialize>(value: &T, format: Format) -> Result<String, Failure> {
    match format {
        Format::Table | Format::Json => {
            let json = serde_json::to_string_pretty(value);
            json.map(|json| json + "\n").map_err(|error| Failure::failed(format!("cannot print as JSON: {error}")))
        }
        Format::Yaml => {
            let yaml = serde_saphyr::to_string(value);
            yaml.map(with_newline).map_err(|error| Failure::failed(format!("cannot print as YAML: {error}")))
        }
    }
}

fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
