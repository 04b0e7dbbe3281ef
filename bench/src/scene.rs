//! A cluster, an application on it, and a client on one of its nodes.
//!
//! **Invariant:** at which node the client begins is left to chance, so that a series of runs sees leaders and followers;
//! the seed is printed, and the same seed gives the same node. Calls stay there; streams go to the leader by themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::ApplicationSpec;
use flame_sdk::{Connection, Endpoints, Options, SessionOptions};
use flame_testkit::{Binaries, Cluster, ClusterOptions, Leader, wait_until};
use flame_types::{CoordinatorId, ExecutorState};
use futures::{StreamExt, TryStreamExt, stream};

use crate::accounting::{self, Kind};
use crate::client::Client;
use crate::figures::Figures;
use crate::settings::Settings;
use crate::workloads::Outcome;

/// The application of the echo service.
const APPLICATION: &str = "bench-echo";

/// The coordinators of every cluster here: the smallest number that survives a death.
const COORDINATORS: usize = 3;

/// Sessions that are being opened at a time.
const OPENING_MAX: usize = 128;

/// For the executors of a session to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster and a client on it.
pub struct Scene {
    /// The cluster.
    pub cluster: Cluster,
    /// Who led when the scene was set.
    pub leader: Leader,
    /// The node the client is on.
    pub node: CoordinatorId,
    /// The client; it goes on to the other nodes when its own is gone.
    pub connection: Connection,
    /// Processes that take part and were not started by the cluster: clients, simulated workers.
    pub others: BTreeMap<u32, Kind>,
}

/// Where all nodes listen, this one first.
fn from(cluster: &Cluster, node: CoordinatorId) -> Vec<String> {
    let mut endpoints = cluster.endpoints();
    let position = cluster.coordinator_ids().iter().position(|id| *id == node);
    endpoints.rotate_left(position.unwrap_or_default());
    endpoints
}

impl Scene {
    /// Starts three coordinators and one worker with room for so many executors.
    ///
    /// # Errors
    /// If something does not start, with the last lines of its log.
    pub async fn start(executors: u32, settings: &Settings) -> Result<Self> {
        Self::start_with(options(executors), settings).await
    }

    /// Starts a cluster of this shape.
    ///
    /// # Errors
    /// As [`Scene::start`].
    pub async fn start_with(options: ClusterOptions, settings: &Settings) -> Result<Self> {
        let cluster = Cluster::start(options).await?;
        let leader = cluster.leader().await?;
        let ids = cluster.coordinator_ids();
        let position = settings.pick(ids.len());
        let node = ids[position];
        let connection = Connection::open(Endpoints::parse(&from(&cluster, node))?, Options::default())?;
        let role = if node == leader.id { "leader" } else { "follower" };
        eprintln!("    the client begins at node {node}, a {role} (seed {})", settings.seed);
        Ok(Self { cluster, leader, node, connection, others: BTreeMap::new() })
    }

    /// Where all nodes listen, the client's first.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        from(&self.cluster, self.node)
    }

    /// Where the client's node listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.cluster.endpoint(self.node)
    }

    /// Where the leader listens for workers.
    ///
    /// # Errors
    /// If nobody knows who leads.
    pub async fn worker_endpoint(&self) -> Result<String> {
        let members = self.connection.members().await?;
        let leader = members.members.iter().find(|member| Some(member.id) == members.leader);
        Ok(format!("http://{}", leader.context("nobody leads")?.worker_endpoint))
    }

    /// A client of one node, counted from 0 and round again.
    ///
    /// # Errors
    /// If its address makes no sense.
    pub fn connection_to(&self, position: usize) -> Result<Connection> {
        let ids = self.cluster.coordinator_ids();
        let endpoint = self.cluster.endpoint(ids[position % ids.len()]);
        Ok(Connection::open(Endpoints::parse(&[endpoint])?, Options::default())?)
    }

    /// Registers the echo service and opens a session that has so many executors of it, ready to run.
    ///
    /// # Errors
    /// If they do not become ready.
    pub async fn echo_session(&self, executors: u32) -> Result<String> {
        self.register_echo().await?;
        self.session(APPLICATION, executors).await
    }

    /// Registers the echo service, unless that is done; its name.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register_echo(&self) -> Result<&'static str> {
        if self.connection.get_application(APPLICATION).await.is_err() {
            self.connection.register_application(APPLICATION, echo()?).await.context("register the echo service")?;
        }
        Ok(APPLICATION)
    }

    /// Opens a session of an application that has so many executors, ready to run.
    ///
    /// # Errors
    /// If they do not become ready.
    pub async fn session(&self, application: &str, executors: u32) -> Result<String> {
        let mut sessions = self.sessions(application, 1, executors).await?;
        sessions.pop().context("one session was opened")
    }

    /// Opens sessions of an application, each with so many executors, ready to run.
    ///
    /// # Errors
    /// If they do not become ready.
    pub async fn sessions(&self, application: &str, count: u64, executors: u32) -> Result<Vec<String>> {
        let options = SessionOptions {
            min_instances: executors,
            max_instances: Some(executors),
            ..SessionOptions::new(application)
        };
        self.ready_sessions(&options, count).await
    }

    /// Opens sessions alike, and waits until each has its minimum of executors, ready to run.
    ///
    /// # Errors
    /// If they do not become ready.
    pub async fn ready_sessions(&self, options: &SessionOptions, count: u64) -> Result<Vec<String>> {
        let sessions = self.open_sessions(options, count).await?;
        wait_until(READY_LIMIT, "the executors of the sessions are ready", || async {
            let all = self.connection.list_executors().await?;
            let bound = all.iter().filter(|executor| executor.status.state.is(ExecutorState::Bound));
            let own = bound.filter_map(|executor| executor.status.session_id.as_ref());
            let (bound, wanted) =
                (own.filter(|id| sessions.contains(id)).count(), count * u64::from(options.min_instances));
            ensure!(bound as u64 == wanted, "{bound} of {wanted}");
            Ok(())
        })
        .await?;
        Ok(sessions)
    }

    /// Opens so many sessions alike, many at a time, and waits for nothing else; their ids.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn open_sessions(&self, options: &SessionOptions, count: u64) -> Result<Vec<String>> {
        let opening = stream::iter(0..count).map(|_| async {
            let session = self.connection.create_session(options).await.context("open a session")?;
            anyhow::Ok(session.metadata.id)
        });
        opening.buffer_unordered(OPENING_MAX).try_collect().await
    }

    /// A client of a new session that has so many echo services, ready to run.
    ///
    /// # Errors
    /// If they do not become ready.
    pub async fn echo_client(&self, executors: u32) -> Result<Client> {
        Client::open(&self.connection, &self.echo_session(executors).await?).await
    }

    /// Ends the cluster; everything went well and this was measured.
    ///
    /// # Errors
    /// If something is left behind.
    pub async fn end(self, figures: Figures) -> Result<Outcome> {
        self.cluster.shutdown().await?;
        Ok(Outcome::Measured(figures))
    }

    /// Every process that takes part, this one included.
    #[must_use]
    pub fn processes(&self) -> BTreeMap<u32, Kind> {
        let mut processes = processes(&self.cluster, Some(self.leader.id));
        processes.extend(&self.others);
        processes
    }

    /// The coordinators' proportional share of memory, in bytes, in the order of their ids.
    ///
    /// # Errors
    /// If one does not run.
    pub fn coordinators_pss(&self) -> Result<Vec<u64>> {
        let ids = self.cluster.coordinator_ids().into_iter();
        let pss = ids.map(|id| self.cluster.coordinator_pid(id).and_then(accounting::pss_bytes));
        pss.collect::<Option<_>>().context("a coordinator does not run")
    }
}

/// By how many bytes the replica that grew most has grown, for each of so many things.
#[must_use]
pub fn growth_each(before: &[u64], after: &[u64], count: u64) -> f64 {
    let grown = before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before)).max().unwrap_or(0);
    grown as f64 / (count.max(1) as f64)
}

/// Every process of a cluster, and this one.
#[must_use]
pub fn processes(cluster: &Cluster, leader: Option<CoordinatorId>) -> BTreeMap<u32, Kind> {
    let coordinators: BTreeMap<u32, Kind> = cluster
        .coordinator_ids()
        .into_iter()
        .filter_map(|id| {
            let kind = if Some(id) == leader { Kind::Leader } else { Kind::Followers };
            Some((cluster.coordinator_pid(id)?, kind))
        })
        .collect();
    let of_run = cluster.run().processes().into_iter().map(|(pid, command)| {
        let kind = coordinators.get(&pid).copied().unwrap_or_else(|| kind_of(&command));
        (pid, kind)
    });
    of_run.chain([(std::process::id(), Kind::Client)]).collect()
}

/// A process of the run that is no coordinator: a worker, or what it has started.
fn kind_of(command: &str) -> Kind {
    let program = command.split_whitespace().next().unwrap_or_default();
    if Path::new(program).ends_with("flame-worker") { Kind::Worker } else { Kind::Service }
}

/// The shape of every cluster here: three coordinators, one worker with room for exactly so many executors.
#[must_use]
pub fn options(executors: u32) -> ClusterOptions {
    ClusterOptions {
        coordinators: COORDINATORS,
        workers: 1,
        worker_resources: format!("cpu={executors},mem={executors}g"),
        ..ClusterOptions::default()
    }
}

/// This program's own echo service.
fn echo() -> Result<ApplicationSpec> {
    let program = Binaries::find()?.path("flame-bench")?;
    Ok(ApplicationSpec {
        command: Some(program.display().to_string()),
        arguments: vec!["service".to_owned()],
        ..ApplicationSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart_by_their_program() {
        assert_eq!(kind_of("/bin/flame-worker --config flame-worker.yaml"), Kind::Worker);
        assert_eq!(kind_of("/bin/flame-bench service --config flame-worker"), Kind::Service);
    }

    #[test]
    fn the_replica_that_grew_most_counts() {
        assert_eq!(growth_each(&[100, 200, 300], &[500, 900, 250], 10), 70.0);
        assert_eq!(growth_each(&[100], &[50], 0), 0.0);
    }
}
