//! Our own frames, as far as `flame-types` has words for them.

use flame_types::{AppName, AppSpec, Resources};

use crate::{ha, v1};

impl From<ha::Resources> for Resources {
    fn from(wire: ha::Resources) -> Self {
        Self { cpu: wire.cpu, memory: wire.memory, gpu: wire.gpu }
    }
}

impl From<Resources> for ha::Resources {
    fn from(resources: Resources) -> Self {
        Self { cpu: resources.cpu, memory: resources.memory, gpu: resources.gpu }
    }
}

impl From<(AppName, AppSpec)> for ha::Application {
    /// What a worker needs of an application to start its service.
    fn from((name, spec): (AppName, AppSpec)) -> Self {
        Self {
            name: name.as_str().to_string(),
            shim: v1::Shim::from(spec.shim) as i32,
            image: spec.image,
            command: spec.command,
            arguments: spec.arguments,
            environments: spec.environments,
            working_directory: spec.working_directory,
            url: spec.url,
            installer: spec.installer,
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_types::Shim;

    use super::*;

    #[test]
    fn each_amount_survives_alone() {
        for resources in [
            Resources { cpu: u64::MAX, ..Resources::ZERO },
            Resources { memory: u64::MAX, ..Resources::ZERO },
            Resources { gpu: u32::MAX, ..Resources::ZERO },
        ] {
            assert_eq!(Resources::from(ha::Resources::from(resources)), resources);
        }
    }

    #[test]
    fn a_worker_is_told_all_it_needs() {
        let spec = AppSpec {
            shim: Shim::Wasm,
            image: Some("image".into()),
            command: Some("command".into()),
            arguments: vec!["a".into()],
            environments: [("K".to_string(), "v".to_string())].into(),
            working_directory: Some("/work".into()),
            url: Some("url".into()),
            installer: Some("binary".into()),
            ..AppSpec::default()
        };
        let told = ha::Application::from((AppName::parse("app").unwrap(), spec.clone()));
        assert_eq!((told.name.as_str(), told.shim), ("app", 1));
        assert_eq!((told.image, told.command, told.arguments), (spec.image, spec.command, spec.arguments));
        assert_eq!((told.environments, told.working_directory), (spec.environments, spec.working_directory));
        assert_eq!((told.url, told.installer), (spec.url, spec.installer));
    }
}
