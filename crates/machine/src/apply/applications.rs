//! Applications: register, update, unregister, and those that ship with Flame.

use std::collections::BTreeSet;

use flame_types::{AppName, AppSpec, AppState, limits};

use super::batch::{Apply, Outcome};
use crate::cluster_event::ClusterEvent;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::state::{App, AppRow};

impl Apply<'_> {
    pub(super) fn register(&mut self, name: AppName, spec: AppSpec) -> Outcome {
        if self.state.apps.contains_key(&name) {
            return Err(Refusal::AppExists(name.to_string()));
        }
        self.check_disk()?;
        check_spec(&spec)?;
        let limit = limits::APPLICATIONS_MAX;
        if self.state.apps.len() >= limit {
            return Err(Refusal::Limit { name: "applications".into(), limit: limit as u64 });
        }
        self.insert_app(name, spec);
        Ok(Reply::Done)
    }

    pub(super) fn update(&mut self, name: &AppName, spec: AppSpec) -> Outcome {
        self.check_app_unused(name)?;
        check_spec(&spec)?;
        let edition = self.next_edition();
        let app = self.state.apps.get_mut(name).expect("it was found above");
        app.row.spec = spec;
        app.row.revision += 1;
        app.row.edition = edition;
        let revision = app.row.revision;
        self.changes.apps.insert(name.clone());
        self.happened(ClusterEvent::AppUpdated { app: name.clone(), revision });
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    pub(super) fn unregister(&mut self, name: &AppName) -> Outcome {
        self.check_app_unused(name)?;
        self.state.apps.remove(name);
        self.changes.apps.insert(name.clone());
        self.happened(ClusterEvent::AppUnregistered { app: name.clone() });
        self.doom_app(name);
        self.sweep();
        self.placement_dirty = true;
        Ok(Reply::Done)
    }

    /// An application that its user has changed stays as it is.
    pub(super) fn install_builtins(&mut self, version: u32, apps: Vec<(AppName, AppSpec)>) -> Outcome {
        if version <= self.state.cluster.builtins {
            return Ok(Reply::Done);
        }
        for (_, spec) in &apps {
            check_spec(spec)?;
        }
        for (name, spec) in apps {
            if !self.state.apps.contains_key(&name) {
                self.insert_app(name, spec);
            }
        }
        self.state.cluster.builtins = version;
        self.changes.cluster = true;
        Ok(Reply::Done)
    }

    fn check_app_unused(&self, name: &AppName) -> Result<(), Refusal> {
        let app = self.state.apps.get(name).ok_or_else(|| Refusal::AppNotFound(name.to_string()))?;
        match app.sessions.len() as u64 {
            0 => Ok(()),
            open => Err(Refusal::AppInUse { name: name.to_string(), open }),
        }
    }

    fn insert_app(&mut self, name: AppName, spec: AppSpec) {
        let edition = self.next_edition();
        let row =
            AppRow { name: name.clone(), spec, state: AppState::Enabled, revision: 1, edition, created: self.wall };
        self.state.apps.insert(name.clone(), App { row, sessions: BTreeSet::new() });
        self.changes.apps.insert(name.clone());
        self.happened(ClusterEvent::AppRegistered { app: name });
    }

    fn next_edition(&mut self) -> u64 {
        let edition = self.state.cluster.next_edition;
        self.state.cluster.next_edition += 1;
        self.changes.cluster = true;
        edition
    }
}

fn check_spec(spec: &AppSpec) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::InvalidSpec(why));
    if spec.labels.len() > limits::LABELS_MAX {
        return invalid(format!("an application has at most {} labels", limits::LABELS_MAX));
    }
    if spec.max_instances == 0 {
        return invalid("max_instances of an application must be at least 1".into());
    }
    if let Some(folder) = &spec.working_directory
        && !folder.starts_with('/')
    {
        return invalid(format!("working_directory must be an absolute path, got {folder:?}"));
    }
    if let Err(why) = spec.retention.check() {
        return invalid(why.to_string());
    }
    if let Err(why) = spec.retry.check() {
        return invalid(why.to_string());
    }
    if spec.task_timeout_ms == Some(0) {
        return invalid("task_timeout_ms must be at least 1".into());
    }
    let bytes = spec_bytes(spec);
    if bytes > limits::APP_SPEC_BYTES_MAX {
        let max = limits::APP_SPEC_BYTES_MAX;
        return invalid(format!("the texts of the application have {bytes} bytes together, at most {max} are allowed"));
    }
    Ok(())
}

fn spec_bytes(spec: &AppSpec) -> usize {
    let schema = spec.schema.clone().unwrap_or_default();
    let single = [
        &spec.description,
        &spec.image,
        &spec.command,
        &spec.working_directory,
        &spec.url,
        &spec.installer,
        &schema.input,
        &schema.output,
        &schema.common_data,
    ];
    let single: usize = single.into_iter().flatten().map(String::len).sum();
    let lists: usize = spec.labels.iter().chain(&spec.arguments).map(String::len).sum();
    let environment: usize = spec.environments.iter().map(|(name, value)| name.len() + value.len()).sum();
    single + lists + environment
}
