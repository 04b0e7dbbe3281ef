//! Sessions.

use flame_types::{AppName, Payload, Resources, Retention, Retries, SessionSpec};

use super::retention::shown_retention;
use super::retry::shown_retries;

use crate::{Invalid, v1};

impl TryFrom<v1::SessionSpec> for SessionSpec {
    type Error = Invalid;

    fn try_from(wire: v1::SessionSpec) -> Result<Self, Invalid> {
        let batch_size = wire.batch_size.max(1);
        if let Some(max) = wire.max_instances {
            if max == 0 {
                return Err(Invalid::Zero { field: "max_instances" });
            }
            for (field, least) in [("min_instances", wire.min_instances), ("batch_size", batch_size)] {
                if max < least {
                    return Err(Invalid::MaxBelow { field, least, max });
                }
            }
        }
        Ok(Self {
            application: AppName::parse(&wire.application)?,
            common_data: wire.common_data.map(Payload),
            min_instances: wire.min_instances,
            max_instances: wire.max_instances,
            batch_size,
            priority: wire.priority,
            resources: wire.resreq.map(Resources::try_from).transpose()?.unwrap_or(Resources::ZERO),
            tokens: wire.tokens,
            labels: Default::default(),
            retry: wire.retry.map(Retries::from).unwrap_or_default(),
            retention: wire.retention.map(Retention::from).unwrap_or_default(),
            task_timeout_ms: wire.task_timeout_ms,
        })
    }
}

impl From<SessionSpec> for v1::SessionSpec {
    /// Everything there is a field for, tokens included: whoever shows a session to a client takes them out.
    fn from(spec: SessionSpec) -> Self {
        Self {
            application: spec.application.as_str().to_string(),
            common_data: spec.common_data.map(|payload| payload.0),
            min_instances: spec.min_instances,
            max_instances: spec.max_instances,
            batch_size: spec.batch_size,
            priority: spec.priority,
            resreq: (!spec.resources.is_zero()).then(|| spec.resources.into()),
            tokens: spec.tokens,
            retention: shown_retention(spec.retention),
            retry: shown_retries(spec.retry),
            task_timeout_ms: spec.task_timeout_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// What a message with nothing but an application means, written out.
    fn defaults() -> v1::SessionSpec {
        v1::SessionSpec { application: "app".into(), batch_size: 1, ..Default::default() }
    }

    fn failed_starts(most: u32) -> v1::Retries {
        let failed = v1::Retry { starts_max: Some(most), ..Default::default() };
        v1::Retries { failed: Some(failed), ..Default::default() }
    }

    fn round_trip(wire: v1::SessionSpec) -> v1::SessionSpec {
        SessionSpec::try_from(wire).unwrap().into()
    }

    #[test]
    fn published_defaults_are_filled_in() {
        let bare = v1::SessionSpec { application: "app".into(), ..Default::default() };
        let spec = SessionSpec::try_from(bare.clone()).unwrap();
        assert_eq!(spec, SessionSpec::new(AppName::parse("app").unwrap()));
        assert_eq!(round_trip(bare), defaults());
    }

    #[test]
    fn each_field_survives_alone() {
        let resources = v1::ResourceRequirement { cpu: 1, memory: 2, gpu: 3 };
        for wire in [
            v1::SessionSpec { application: "other".into(), ..defaults() },
            v1::SessionSpec { common_data: Some(Bytes::from_static(b"data")), ..defaults() },
            v1::SessionSpec { common_data: Some(Bytes::new()), ..defaults() },
            v1::SessionSpec { min_instances: 7, ..defaults() },
            v1::SessionSpec { max_instances: Some(7), ..defaults() },
            v1::SessionSpec { batch_size: 7, ..defaults() },
            v1::SessionSpec { priority: 7, ..defaults() },
            v1::SessionSpec { resreq: Some(resources), ..defaults() },
            v1::SessionSpec { tokens: [("service".to_string(), "secret".to_string())].into(), ..defaults() },
            v1::SessionSpec {
                retention: Some(v1::Retention { task_age_ms: Some(0), ..Default::default() }),
                ..defaults()
            },
            v1::SessionSpec { retry: Some(failed_starts(3)), ..defaults() },
            v1::SessionSpec { task_timeout_ms: Some(7), ..defaults() },
        ] {
            assert_eq!(round_trip(wire.clone()), wire);
        }
    }

    #[test]
    fn all_zero_resources_mean_the_default_as_none_do() {
        let wire = v1::SessionSpec { resreq: Some(v1::ResourceRequirement::default()), ..defaults() };
        assert_eq!(SessionSpec::try_from(wire).unwrap().resources, Resources::ZERO);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |wire| SessionSpec::try_from(wire).unwrap_err();
        assert_eq!(
            refused(v1::SessionSpec { max_instances: Some(0), ..defaults() }),
            Invalid::Zero { field: "max_instances" }
        );
        assert_eq!(
            refused(v1::SessionSpec { min_instances: 3, max_instances: Some(2), ..defaults() }),
            Invalid::MaxBelow { field: "min_instances", least: 3, max: 2 }
        );
        assert_eq!(
            refused(v1::SessionSpec { batch_size: 3, max_instances: Some(2), ..defaults() }),
            Invalid::MaxBelow { field: "batch_size", least: 3, max: 2 }
        );
        let negative = v1::ResourceRequirement { cpu: 0, memory: 0, gpu: -2 };
        assert_eq!(
            refused(v1::SessionSpec { resreq: Some(negative), ..defaults() }),
            Invalid::Negative { field: "resreq.gpu", got: -2 }
        );
        assert!(matches!(refused(v1::SessionSpec { application: "a/b".into(), ..defaults() }), Invalid::Name(_)));
    }
}
