//! Applications.

use std::collections::BTreeMap;

use flame_types::spec::{APP_MAX_INSTANCES_DEFAULT, DELAY_RELEASE_SECONDS_DEFAULT};
use flame_types::{AppSpec, Retention, Retries, Schema};

use super::retention::shown_retention;
use super::retry::shown_retries;

use crate::{Invalid, v1};

impl TryFrom<v1::ApplicationSpec> for AppSpec {
    type Error = Invalid;

    fn try_from(wire: v1::ApplicationSpec) -> Result<Self, Invalid> {
        let delay_release_seconds = match wire.delay_release {
            None => DELAY_RELEASE_SECONDS_DEFAULT,
            Some(got) => u64::try_from(got).map_err(|_| Invalid::Negative { field: "delay_release", got })?,
        };
        if wire.max_instances == Some(0) {
            return Err(Invalid::Zero { field: "max_instances" });
        }
        Ok(Self {
            shim: v1::Shim::checked(wire.shim)?,
            description: wire.description,
            labels: wire.labels,
            image: wire.image,
            command: wire.command,
            arguments: wire.arguments,
            environments: environments(wire.environments)?,
            // Published: an empty one is none.
            working_directory: wire.working_directory.filter(|path| !path.is_empty()),
            max_instances: wire.max_instances.unwrap_or(APP_MAX_INSTANCES_DEFAULT),
            delay_release_seconds,
            schema: wire.schema.map(Schema::from),
            url: wire.url,
            installer: wire.installer,
            retention: wire.retention.map(Retention::from).unwrap_or_default(),
            retry: wire.retry.map(Retries::from).unwrap_or_default(),
            task_timeout_ms: wire.task_timeout_ms,
        })
    }
}

fn environments(wire: Vec<v1::Environment>) -> Result<BTreeMap<String, String>, Invalid> {
    let mut environments = BTreeMap::new();
    for v1::Environment { name, value } in wire {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Invalid::EnvironmentName(name.chars().take(64).collect()));
        }
        if environments.insert(name.clone(), value).is_some() {
            return Err(Invalid::EnvironmentTwice(name));
        }
    }
    Ok(environments)
}

impl From<AppSpec> for v1::ApplicationSpec {
    fn from(spec: AppSpec) -> Self {
        Self {
            shim: v1::Shim::from(spec.shim) as i32,
            description: spec.description,
            labels: spec.labels,
            image: spec.image,
            command: spec.command,
            arguments: spec.arguments,
            environments: spec.environments.into_iter().map(|(name, value)| v1::Environment { name, value }).collect(),
            working_directory: spec.working_directory,
            max_instances: Some(spec.max_instances),
            delay_release: Some(i64::try_from(spec.delay_release_seconds).unwrap_or(i64::MAX)),
            schema: spec.schema.map(v1::ApplicationSchema::from),
            url: spec.url,
            installer: spec.installer,
            retention: shown_retention(spec.retention),
            retry: shown_retries(spec.retry),
            task_timeout_ms: spec.task_timeout_ms,
        }
    }
}

impl From<v1::ApplicationSchema> for Schema {
    fn from(wire: v1::ApplicationSchema) -> Self {
        Self { input: wire.input, output: wire.output, common_data: wire.common_data }
    }
}

impl From<Schema> for v1::ApplicationSchema {
    fn from(schema: Schema) -> Self {
        Self { input: schema.input, output: schema.output, common_data: schema.common_data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an empty message means, written out.
    fn defaults() -> v1::ApplicationSpec {
        v1::ApplicationSpec { max_instances: Some(1_000_000), delay_release: Some(60), ..Default::default() }
    }

    fn round_trip(wire: v1::ApplicationSpec) -> v1::ApplicationSpec {
        AppSpec::try_from(wire).unwrap().into()
    }

    #[test]
    fn published_defaults_are_filled_in() {
        assert_eq!(AppSpec::try_from(v1::ApplicationSpec::default()), Ok(AppSpec::default()));
        assert_eq!(round_trip(v1::ApplicationSpec::default()), defaults());
    }

    #[test]
    fn each_field_survives_alone() {
        let text = || Some("text".to_string());
        let list = || vec!["b".to_string(), "a".to_string(), "b".to_string()];
        let schema = |schema| v1::ApplicationSpec { schema: Some(schema), ..defaults() };
        for wire in [
            v1::ApplicationSpec { shim: v1::Shim::Wasm as i32, ..defaults() },
            v1::ApplicationSpec { shim: v1::Shim::Cri as i32, ..defaults() },
            v1::ApplicationSpec { description: text(), ..defaults() },
            v1::ApplicationSpec { description: Some(String::new()), ..defaults() },
            v1::ApplicationSpec { labels: list(), ..defaults() },
            v1::ApplicationSpec { image: text(), ..defaults() },
            v1::ApplicationSpec { command: text(), ..defaults() },
            v1::ApplicationSpec { arguments: list(), ..defaults() },
            v1::ApplicationSpec {
                environments: vec![v1::Environment { name: "A".into(), value: "=1".into() }],
                ..defaults()
            },
            v1::ApplicationSpec { working_directory: text(), ..defaults() },
            v1::ApplicationSpec { max_instances: Some(1), ..defaults() },
            v1::ApplicationSpec { delay_release: Some(0), ..defaults() },
            v1::ApplicationSpec { delay_release: Some(i64::MAX), ..defaults() },
            schema(v1::ApplicationSchema::default()),
            schema(v1::ApplicationSchema { input: text(), ..Default::default() }),
            schema(v1::ApplicationSchema { output: text(), ..Default::default() }),
            schema(v1::ApplicationSchema { common_data: text(), ..Default::default() }),
            v1::ApplicationSpec { url: text(), ..defaults() },
            v1::ApplicationSpec { installer: text(), ..defaults() },
            v1::ApplicationSpec {
                retention: Some(v1::Retention { closed_count: Some(1), ..Default::default() }),
                ..defaults()
            },
            v1::ApplicationSpec {
                retry: Some(v1::Retries {
                    lost: Some(v1::Retry { backoff_ms: Some(1), ..Default::default() }),
                    ..Default::default()
                }),
                ..defaults()
            },
            v1::ApplicationSpec { task_timeout_ms: Some(7), ..defaults() },
        ] {
            assert_eq!(round_trip(wire.clone()), wire);
        }
    }

    #[test]
    fn an_empty_working_directory_is_none() {
        let wire = v1::ApplicationSpec { working_directory: Some(String::new()), ..defaults() };
        assert_eq!(AppSpec::try_from(wire).unwrap().working_directory, None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let variable = |name: &str| v1::Environment { name: name.into(), value: String::new() };
        let refused = |wire| AppSpec::try_from(wire).unwrap_err();
        assert_eq!(
            refused(v1::ApplicationSpec { delay_release: Some(-1), ..defaults() }),
            Invalid::Negative { field: "delay_release", got: -1 }
        );
        assert_eq!(
            refused(v1::ApplicationSpec { max_instances: Some(0), ..defaults() }),
            Invalid::Zero { field: "max_instances" }
        );
        assert_eq!(
            refused(v1::ApplicationSpec { shim: 2, ..defaults() }),
            Invalid::UnknownNumber { what: "shim", number: 2 }
        );
        assert_eq!(
            refused(v1::ApplicationSpec { environments: vec![variable("A"), variable("A")], ..defaults() }),
            Invalid::EnvironmentTwice("A".into())
        );
        for name in ["", "A=B", "A\0"] {
            assert_eq!(
                refused(v1::ApplicationSpec { environments: vec![variable(name)], ..defaults() }),
                Invalid::EnvironmentName(name.into())
            );
        }
    }
}
