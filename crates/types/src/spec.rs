//! What users ask for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AppName, Payload, Payloads, Resources, Retention, Retries, Shim};

/// Most executors all sessions of an application may hold together, unless its user says otherwise (published).
pub const APP_MAX_INSTANCES_DEFAULT: u32 = 1_000_000;

/// How long an idle executor keeps its session, in seconds, unless its user says otherwise (published).
pub const DELAY_RELEASE_SECONDS_DEFAULT: u64 = 60;

/// An application: how its service is started.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppSpec {
    /// How the service is run.
    pub shim: Shim,
    /// For people.
    pub description: Option<String>,
    /// For people; `flmctl list -a` shows them as tags.
    pub labels: Vec<String>,
    /// Container image, for shims that use one.
    pub image: Option<String>,
    /// The program. `$VAR` and `${VAR}` are expanded on the worker.
    pub command: Option<String>,
    /// Its arguments, expanded likewise.
    pub arguments: Vec<String>,
    /// Its environment, expanded likewise. Sorted by name, so that equal maps are equal bytes.
    pub environments: BTreeMap<String, String>,
    /// Absolute folder in which it runs; a fresh one per executor when unset.
    pub working_directory: Option<String>,
    /// Most executors of all sessions of the application together.
    pub max_instances: u32,
    /// How long an idle executor keeps its session, in seconds.
    pub delay_release_seconds: u64,
    /// JSON Schemas of what its tasks take and give. Shown, not enforced (as published).
    pub schema: Option<Schema>,
    /// Where its package is fetched from.
    pub url: Option<String>,
    /// How its package is installed.
    pub installer: Option<String>,
    /// How long ended things of its sessions are kept; unset parts are as the cluster says.
    pub retention: Retention,
    /// How often things of its sessions are tried again; unset parts are as the cluster says.
    pub retry: Retries,
    /// Its tasks fail when they run longer, in milliseconds, unless their session or they themselves say otherwise.
    pub task_timeout_ms: Option<u64>,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            shim: Shim::Host,
            description: None,
            labels: Vec::new(),
            image: None,
            command: None,
            arguments: Vec::new(),
            environments: BTreeMap::new(),
            working_directory: None,
            max_instances: APP_MAX_INSTANCES_DEFAULT,
            delay_release_seconds: DELAY_RELEASE_SECONDS_DEFAULT,
            schema: None,
            url: None,
            installer: None,
            retention: Retention::default(),
            retry: Retries::default(),
            task_timeout_ms: None,
        }
    }
}

/// JSON Schemas, as the text their user wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schema {
    /// Of a task's input.
    pub input: Option<String>,
    /// Of a task's output.
    pub output: Option<String>,
    /// Of a session's common data.
    pub common_data: Option<String>,
}

/// A session: tasks of one application and what their executors may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The application whose service runs the tasks.
    pub application: AppName,
    /// Bytes that every executor gets when it enters the session.
    pub common_data: Option<Payload>,
    /// Executors the session keeps even without tasks.
    pub min_instances: u32,
    /// Most executors of the session; the application's when unset.
    pub max_instances: Option<u32>,
    /// Gang size: tasks start only while the session holds at least this many ready executors. At least 1.
    pub batch_size: u32,
    /// Higher is served first.
    pub priority: u32,
    /// What one executor needs. [`Resources::ZERO`] means the cluster's default, filled in when the session is made.
    pub resources: Resources,
    /// Secrets by service name, handed to executors on entering the session. Never shown again.
    pub tokens: BTreeMap<String, String>,
    /// For people and for filters.
    pub labels: BTreeMap<String, String>,
    /// How often its things are tried again; unset parts are as its application says.
    pub retry: Retries,
    /// How long its ended things are kept; unset parts are as its application says.
    pub retention: Retention,
    /// Its tasks fail when they run longer, in milliseconds, unless they say otherwise themselves; its application's when
    /// unset.
    pub task_timeout_ms: Option<u64>,
}

impl SessionSpec {
    /// A session of `application` with every published default.
    #[must_use]
    pub fn new(application: AppName) -> Self {
        Self {
            application,
            common_data: None,
            min_instances: 0,
            max_instances: None,
            batch_size: 1,
            priority: 0,
            resources: Resources::ZERO,
            tokens: BTreeMap::new(),
            labels: BTreeMap::new(),
            retry: Retries::default(),
            retention: Retention::default(),
            task_timeout_ms: None,
        }
    }
}

impl Payloads for SessionSpec {
    fn visit_payloads(&mut self, visit: &mut dyn FnMut(&mut Payload)) {
        self.common_data.visit_payloads(visit);
    }
}

/// What a user may ask for a single task. A task without any is part of a range and costs no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskOptions {
    /// The task prefers an executor that publishes these keys.
    pub affinity: Vec<Vec<u8>>,
    /// Higher goes first inside its session; 0 is first come, first served.
    pub priority: i32,
    /// The task fails when it runs longer, in milliseconds; its session's limit when unset.
    pub timeout_ms: Option<u64>,
}

impl TaskOptions {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
