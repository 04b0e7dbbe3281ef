//! Starting a run, and its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use flame_sdk::model::{ApplicationSpec, Environment};
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Binaries, Cluster, ClusterOptions};
use flame_types::{CoordinatorId, Resources};

use crate::run::ledger::Ledger;
use crate::run::load::Load;
use crate::service;

pub(crate) const APPLICATION: &str = "chaos";

/// What a run needs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The cluster.
    pub cluster: ClusterOptions,
    /// How many services may run at the same time.
    pub services_max: u32,
    /// How many tasks may be submitted and not finished at the same time.
    pub window: usize,
}

/// A cluster with a session on it and clients at work.
pub struct Run {
    /// The cluster, to break.
    pub cluster: Cluster,
    /// The clients.
    pub load: Load,
    /// What they were told.
    pub ledger: Arc<Ledger>,
    pub(crate) session: String,
    pub(crate) connections: BTreeMap<CoordinatorId, Connection>,
    pub(crate) executions: PathBuf,
}

impl Run {
    /// Starts a cluster, registers the service and opens a session.
    ///
    /// # Errors
    /// If something does not start, with the last lines of its log.
    pub async fn start(options: RunOptions) -> Result<Self> {
        let cluster = Cluster::start(options.cluster).await?;
        let executions = cluster.folder().join("executions.log");
        let connections = connections(&cluster)?;
        let any = connections.values().next().context("the cluster has no coordinator")?;
        any.register_application(APPLICATION, service_of(&executions)?).await.context("register the service")?;
        let session = SessionOptions {
            max_instances: Some(options.services_max),
            resreq: Some(Resources { cpu: 1, memory: 64 << 20, gpu: 0 }),
            ..SessionOptions::new(APPLICATION)
        };
        let session = any.create_session(&session).await.context("open the session")?.metadata.id;
        let ledger = Arc::new(Ledger::default());
        let clients: Vec<_> = connections.values().cloned().collect();
        let load = Load::new(&session, &clients, options.window, ledger.clone());
        Ok(Self { cluster, load, ledger, session, connections, executions })
    }

    /// Tasks of the session that run now, as a surviving node says.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn running(&self) -> Result<u64> {
        let any = self.connections.values().next().context("the cluster has no coordinator")?;
        Ok(any.get_session(&self.session).await?.status.running)
    }

    /// The log that the services write.
    #[must_use]
    pub fn executions(&self) -> &Path {
        &self.executions
    }
}

/// For each node a connection that prefers it, and goes on to the others when it is gone.
pub(crate) fn connections(cluster: &Cluster) -> Result<BTreeMap<CoordinatorId, Connection>> {
    let ids = cluster.coordinator_ids();
    let mut connections = BTreeMap::new();
    for (position, id) in ids.iter().enumerate() {
        let mut endpoints = cluster.endpoints();
        endpoints.rotate_left(position);
        let connection = Connection::open(Endpoints::parse(&endpoints)?, Options::default())?;
        connections.insert(*id, connection);
    }
    Ok(connections)
}

/// This crate's own binary, as a service.
fn service_of(executions: &Path) -> Result<ApplicationSpec> {
    let program = Binaries::find()?.path("flame-chaos")?;
    let log = Environment { name: service::LOG_VARIABLE.to_owned(), value: executions.display().to_string() };
    Ok(ApplicationSpec {
        command: Some(program.display().to_string()),
        arguments: vec!["service".to_owned()],
        environments: vec![log],
        ..ApplicationSpec::default()
    })
}
