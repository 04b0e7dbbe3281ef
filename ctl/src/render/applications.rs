//! Applications.

use flame_sdk::model::{Application, Schema};
use serde::Serialize;

use super::details::{Details, or_dash};
use super::{Grid, Render, Sheet};
use crate::time::{clock, span};

/// `flmctl list -a`.
#[derive(Clone, Debug, Serialize)]
pub struct Applications {
    /// Oldest first.
    applications: Vec<Application>,
}

impl Applications {
    /// Puts them in order.
    #[must_use]
    pub fn new(mut applications: Vec<Application>) -> Self {
        applications.sort_by(|a, b| {
            (a.status.creation_time, &a.metadata.name).cmp(&(b.status.creation_time, &b.metadata.name))
        });
        Self { applications }
    }
}

impl Render for Applications {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["Name", "State", "Shim", "Tags", "Created", "Command"]);
        for application in &self.applications {
            grid.row(vec![
                application.metadata.name.clone(),
                application.status.state.to_string(),
                application.spec.shim.to_string(),
                or_dash(Some(&application.spec.labels.join(", "))).to_owned(),
                clock(application.status.creation_time),
                or_dash(application.spec.command.as_deref()).to_owned(),
            ]);
        }
        Sheet::of_grid(grid)
    }
}

/// `flmctl view -a`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ApplicationView(pub Application);

impl Render for ApplicationView {
    fn sheet(&self) -> Sheet {
        let Application { metadata, spec, status } = &self.0;
        let mut details = Details::default();
        details
            .line("Name", &metadata.name)
            .line("State", status.state)
            .line("Description", or_dash(spec.description.as_deref()))
            .line("Shim", spec.shim)
            .line("Image", or_dash(spec.image.as_deref()))
            .line("URL", or_dash(spec.url.as_deref()))
            .line("Installer", or_dash(spec.installer.as_deref()))
            .line("Labels", or_dash(Some(&spec.labels.join(", "))))
            .line("Command", or_dash(spec.command.as_deref()))
            .line("Arguments", or_dash(Some(&spec.arguments.join(" "))));
        if spec.environments.is_empty() {
            details.line("Environments", "-");
        } else {
            details.line("Environments", "");
            for variable in &spec.environments {
                details.inner(&variable.name, &variable.value);
            }
        }
        let delay_release = spec.delay_release.and_then(|seconds| u64::try_from(seconds).ok()).map(span);
        details
            .line("WorkingDir", or_dash(spec.working_directory.as_deref()))
            .line("Max Instances", or_dash(spec.max_instances.map(|max| max.to_string()).as_deref()))
            .line("Delay Release", or_dash(delay_release.as_deref()))
            .line("Schema", "");
        let none = Schema::default();
        let schema = spec.schema.as_ref().unwrap_or(&none);
        details
            .inner("Input", schema_type(schema.input.as_deref()))
            .inner("Output", schema_type(schema.output.as_deref()))
            .inner("Common Data", schema_type(schema.common_data.as_deref()));
        Sheet::of_text(details.finish())
    }
}

/// The `type` of a JSON Schema.
fn schema_type(schema: Option<&str>) -> String {
    let parsed: Option<serde_json::Value> = schema.and_then(|text| serde_json::from_str(text).ok());
    match parsed.as_ref().and_then(|schema| schema.get("type")) {
        Some(serde_json::Value::String(name)) => name.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}
