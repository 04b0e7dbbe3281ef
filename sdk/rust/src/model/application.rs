//! Applications.

use flame_proto::v1;
use flame_types::{AppState, Shim};
use serde::Serialize;

use super::{Metadata, Retention, Retries, State, metadata, part};
use crate::FlameError;

/// How a service is started, and whether it takes sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Its name, twice.
    pub metadata: Metadata,
    /// What its user asked for.
    pub spec: ApplicationSpec,
    /// What became of it.
    pub status: ApplicationStatus,
}

/// How a service is started. What is unset the server fills with the published defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationSpec {
    /// How the service is run.
    pub shim: State<Shim>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people: tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Environment>,
    /// Absolute folder in which it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Most executors of all its sessions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// How long an idle executor keeps its session, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_release: Option<i64>,
    /// JSON Schemas of what its tasks take and give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Where its package is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How its package is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installer: Option<String>,
    /// How long ended things of its sessions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How often things of its sessions are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retries>,
    /// A task of its sessions that runs longer has failed, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_timeout_ms: Option<u64>,
}

/// One variable of an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// JSON Schemas, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// Of a task's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Of a task's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Of a session's common data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_data: Option<String>,
}

/// What became of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationStatus {
    /// Whether it takes new sessions.
    pub state: State<AppState>,
    /// When it was registered, in milliseconds since 1970.
    pub creation_time: i64,
}

impl Default for ApplicationSpec {
    fn default() -> Self {
        Self {
            shim: State::Known(Shim::Host),
            description: None,
            labels: Vec::new(),
            image: None,
            command: None,
            arguments: Vec::new(),
            environments: Vec::new(),
            working_directory: None,
            max_instances: None,
            delay_release: None,
            schema: None,
            url: None,
            installer: None,
            retention: None,
            retry: None,
            task_timeout_ms: None,
        }
    }
}

impl TryFrom<v1::Application> for Application {
    type Error = FlameError;

    fn try_from(application: v1::Application) -> Result<Self, FlameError> {
        const OF: &str = "an application";
        let status = part(application.status, OF, "status")?;
        Ok(Self {
            metadata: metadata(application.metadata, OF)?,
            spec: part(application.spec, OF, "spec")?.into(),
            status: ApplicationStatus { state: status.state.into(), creation_time: status.creation_time },
        })
    }
}

impl From<v1::ApplicationSpec> for ApplicationSpec {
    fn from(spec: v1::ApplicationSpec) -> Self {
        Self {
            shim: spec.shim.into(),
            description: spec.description,
            labels: spec.labels,
            image: spec.image,
            command: spec.command,
            arguments: spec.arguments,
            environments: spec
                .environments
                .into_iter()
                .map(|variable| Environment { name: variable.name, value: variable.value })
                .collect(),
            working_directory: spec.working_directory,
            max_instances: spec.max_instances,
            delay_release: spec.delay_release,
            schema: spec.schema.map(|schema| Schema {
                input: schema.input,
                output: schema.output,
                common_data: schema.common_data,
            }),
            url: spec.url,
            installer: spec.installer,
            retention: spec.retention.map(Retention::from),
            retry: spec.retry.map(Retries::from),
            task_timeout_ms: spec.task_timeout_ms,
        }
    }
}

impl From<ApplicationSpec> for v1::ApplicationSpec {
    fn from(spec: ApplicationSpec) -> Self {
        Self {
            shim: match spec.shim {
                State::Known(shim) => shim.number(),
                State::Newer(number) => number,
            },
            description: spec.description,
            labels: spec.labels,
            image: spec.image,
            command: spec.command,
            arguments: spec.arguments,
            environments: spec
                .environments
                .into_iter()
                .map(|variable| v1::Environment { name: variable.name, value: variable.value })
                .collect(),
            working_directory: spec.working_directory,
            max_instances: spec.max_instances,
            delay_release: spec.delay_release,
            schema: spec.schema.map(|schema| v1::ApplicationSchema {
                input: schema.input,
                output: schema.output,
                common_data: schema.common_data,
            }),
            url: spec.url,
            installer: spec.installer,
            retention: spec.retention.map(v1::Retention::from),
            retry: spec.retry.map(v1::Retries::from),
            task_timeout_ms: spec.task_timeout_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Retry;

    #[test]
    fn a_specification_survives_the_wire_field_by_field() {
        let spec = ApplicationSpec {
            shim: State::Known(Shim::Cri),
            description: Some("d".into()),
            labels: vec!["l".into()],
            image: Some("i".into()),
            command: Some("c".into()),
            arguments: vec!["a".into()],
            environments: vec![Environment { name: "N".into(), value: "V".into() }],
            working_directory: Some("/w".into()),
            max_instances: Some(3),
            delay_release: Some(4),
            schema: Some(Schema { input: Some("1".into()), output: Some("2".into()), common_data: Some("3".into()) }),
            url: Some("u".into()),
            installer: Some("binary".into()),
            retention: None,
            retry: Some(Retries {
                failed: Some(Retry { starts_max: Some(5), ..Retry::default() }),
                ..Retries::default()
            }),
            task_timeout_ms: Some(6),
        };
        assert_eq!(ApplicationSpec::from(v1::ApplicationSpec::from(spec.clone())), spec);
    }
}
