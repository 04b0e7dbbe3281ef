//! A running cluster, and what can be done to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use flame_proto::ha::cluster_client::ClusterClient;
use flame_proto::ha::{MembersReply, MembersRequest};
use flame_tls::client::channel;
use flame_types::{CoordinatorId, Term};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::binaries::Binaries;
use crate::certificates::Certificates;
use crate::config_file::{self, MemberAddresses};
use crate::daemon::{Daemon, write_file};
use crate::leftovers::{self, FOLDER_PREFIX};
use crate::options::{ClusterOptions, Host};
use crate::ports::PortLease;
use crate::run::RunId;
use crate::wait::wait_until;

mod caches;
mod members;
mod rescue;

/// Set to keep the folder of a cluster, logs included, when it is dropped.
const KEEP_VARIABLE: &str = "FLAME_TEST_KEEP";

/// What a coordinator exits with when somebody else listens on its port.
const EXIT_PORT_IN_USE: i32 = 12;

/// How often a start is tried with other ports.
const START_TRIES_MAX: usize = 5;

/// For one question to one coordinator.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// For the last processes of a run to end.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(15);

/// Who leads, in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The coordinator.
    pub id: CoordinatorId,
    /// Grows with every election.
    pub term: Term,
}

/// Coordinators and workers as processes. Dropping it ends them all.
pub struct Cluster {
    // Fields are dropped in this order: first the processes, then the folder they write to.
    workers: Vec<Daemon>,
    coordinators: Vec<Coordinator>,
    options: ClusterOptions,
    /// With [`ClusterOptions::tls`].
    certificates: Option<Certificates>,
    run: RunId,
    folder: TempDir,
}

struct Coordinator {
    daemon: Daemon,
    addresses: MemberAddresses,
    data: PathBuf,
    /// Whether the cluster counts on it: not before it was added, and not after it was removed.
    is_member: bool,
    _ports: PortLease,
}

impl Cluster {
    /// Starts the coordinators, waits for a leader, then starts the workers and waits until they are attached.
    ///
    /// # Errors
    /// Says which daemon did not start, with the last lines of its log.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let binaries = Binaries::find()?;
        let mut last_error = anyhow!("no try was made");
        for _ in 0..START_TRIES_MAX {
            let mut cluster = Self::prepare(&options, &binaries)?;
            match cluster.launch().await {
                Ok(()) => return Ok(cluster),
                Err(error) if cluster.lost_a_port() => last_error = error,
                Err(error) => return Err(error),
            }
        }
        Err(last_error.context(format!("{START_TRIES_MAX} starts in a row met a port in use")))
    }

    fn prepare(options: &ClusterOptions, binaries: &Binaries) -> Result<Self> {
        let run = RunId::new();
        let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir();
        let folder = folder.context("create the folder of the cluster")?;
        leftovers::mark(folder.path(), &run)?;
        let certificates = match options.tls {
            true => {
                let hosts: Vec<_> = options.coordinator_hosts.iter().map(|host| host.address.clone()).collect();
                Some(Certificates::make(&folder.path().join("certificates"), &hosts)?)
            }
            false => None,
        };
        let tls = certificates.as_ref();
        let leases: Vec<_> = (0..options.coordinators).map(|_| PortLease::take()).collect::<Result<_>>()?;
        let ids = (1..).map(CoordinatorId);
        let hosts = options.coordinator_hosts.iter().map(Some).chain(std::iter::repeat(None));
        let members = leases.iter().zip(ids).zip(hosts).map(|((lease, id), host)| addresses(id, lease, host));
        let members: Vec<_> = members.collect();
        let name = format!("test-{}", &run.as_str()[..8]);
        let mut coordinators = Vec::new();
        for (index, lease) in leases.into_iter().enumerate() {
            let addresses = members[index].clone();
            let own = make_folder(&folder.path().join(format!("c{}", addresses.id)))?;
            let data = options.data_dirs.get(index).cloned().unwrap_or_else(|| own.join("data"));
            let config = own.join("flame-cluster.yaml");
            let yaml = config_file::coordinator(&name, &addresses, &members, options.profile, &data, tls);
            write_file(&config, &yaml)?;
            let mut arguments = vec!["--config".to_owned(), config.display().to_string()];
            arguments.extend_from_slice(&options.coordinator_arguments);
            let title = format!("coordinator-{}", addresses.id);
            let daemon = Daemon::new(&title, binaries.path(options.build.coordinator())?, arguments, &own, &run);
            let daemon = daemon.with_environment(&options.environment).on(options.coordinator_hosts.get(index));
            coordinators.push(Coordinator { daemon, addresses, data, is_member: true, _ports: lease });
        }
        let mut workers = Vec::new();
        for number in 1..=options.workers {
            let title = format!("w{number}");
            let own = make_folder(&folder.path().join(&title))?;
            // Socket paths have a hard limit of 107 bytes: keep their folder near the top.
            let sockets = make_folder(&folder.path().join(format!("s{number}")))?;
            let config = own.join("flame-cluster.yaml");
            let yaml = config_file::worker(&name, &title, &members, &options.worker_resources, &own, &sockets, tls);
            write_file(&config, &yaml)?;
            let arguments = vec!["--config".to_owned(), config.display().to_string()];
            let daemon = Daemon::new(&title, binaries.path("flame-worker")?, arguments, &own, &run);
            let daemon = daemon.with_environment(&options.environment);
            workers.push(daemon.on(options.worker_hosts.get(number - 1)));
        }
        Ok(Self { workers, coordinators, options: options.clone(), certificates, run, folder })
    }

    async fn launch(&mut self) -> Result<()> {
        if self.options.workers_at_once {
            self.spawn_workers()?;
        }
        self.start_all_coordinators().await?;
        self.leader().await?;
        self.spawn_workers()?;
        for index in 0..self.workers.len() {
            self.worker_attached(index).await?;
        }
        Ok(())
    }

    /// Starts the workers that do not run.
    fn spawn_workers(&mut self) -> Result<()> {
        self.workers.iter_mut().filter(|worker| !worker.is_started()).try_for_each(Daemon::spawn)
    }

    fn lost_a_port(&mut self) -> bool {
        self.coordinators.iter_mut().any(|member| member.daemon.exit_code() == Some(EXIT_PORT_IN_USE))
    }

    /// The ids of all coordinators that are members, dead ones included.
    #[must_use]
    pub fn coordinator_ids(&self) -> Vec<CoordinatorId> {
        self.members().map(|member| member.addresses.id).collect()
    }

    fn members(&self) -> impl Iterator<Item = &Coordinator> {
        self.coordinators.iter().filter(|member| member.is_member)
    }

    /// Where clients reach a coordinator.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    #[must_use]
    pub fn endpoint(&self, id: CoordinatorId) -> String {
        format!("{}://{}", config_file::scheme(self.certificates()), self.coordinator(id).addresses.client)
    }

    /// Where workers reach a coordinator.
    ///
    /// # Panics
    /// If there is no coordinator with this id.
    #[must_use]
    pub fn worker_endpoint(&self, id: CoordinatorId) -> String {
        format!("{}://{}", config_file::scheme(self.certificates()), self.coordinator(id).addresses.worker)
    }

    /// Where clients reach the coordinators, all of them.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members().map(|member| self.endpoint(member.addresses.id)).collect()
    }

    /// Where a coordinator that runs serves its metrics, `host:port`.
    ///
    /// # Errors
    /// If it has not said so.
    pub async fn metrics_address(&mut self, id: CoordinatorId) -> Result<String> {
        let limit = self.options.start_timeout;
        let ready = self.coordinator_mut(id).daemon.event("ready", limit).await?;
        Ok(ready["metrics"].as_str().with_context(|| format!("no metrics in {ready}"))?.to_owned())
    }

    /// The cluster's own folder: configuration files, data, logs. It goes when the cluster is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificates of a cluster with [`ClusterOptions::tls`].
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The id of the run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Waits until a majority runs and all that run agree on a leader, which says so itself.
    ///
    /// # Errors
    /// If that takes too long; the message has each coordinator's own answer.
    pub async fn leader(&self) -> Result<Leader> {
        let outcome = wait_until(self.options.start_timeout, "one leader that all agree on", || self.agreed_leader());
        outcome.await.map_err(|error| anyhow!("{error}\n{}", self.tails()))
    }

    async fn agreed_leader(&self) -> Result<Leader> {
        let running: Vec<_> = self.members().filter(|member| member.daemon.is_started()).collect();
        ensure!(running.len() > self.members().count() / 2, "only {} coordinators run", running.len());
        let mut opinions = BTreeSet::new();
        let mut leads = false;
        for member in running {
            let id = member.addresses.id;
            let reply = ask_members(&member.addresses.client, self.certificates())
                .await
                .with_context(|| format!("coordinator {id}"))?;
            ensure!(reply.leader != 0, "coordinator {id} knows no leader");
            opinions.insert((reply.leader, reply.term));
            leads |= reply.leader == reply.self_;
        }
        ensure!(opinions.len() == 1, "they disagree about (leader, term): {opinions:?}");
        ensure!(leads, "the leader does not say so itself: {opinions:?}");
        let (id, term) = opinions.pop_first().ok_or_else(|| anyhow!("nobody runs"))?;
        Ok(Leader { id: CoordinatorId(id), term: Term(term) })
    }

    /// SIGKILL to one coordinator; returns when it is gone.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_coordinator(&mut self, id: CoordinatorId) -> Result<()> {
        self.coordinator_mut(id).daemon.kill().await
    }

    /// SIGKILL to these coordinators at once; returns when all are gone.
    ///
    /// # Errors
    /// If one cannot be killed.
    pub async fn kill_coordinators(&mut self, ids: &[CoordinatorId]) -> Result<()> {
        for id in ids {
            self.coordinator(*id).daemon.signal_kill()?;
        }
        for id in ids {
            let daemon = &mut self.coordinator_mut(*id).daemon;
            if daemon.is_started() {
                daemon.reap(LEFTOVER_LIMIT).await?;
            }
        }
        Ok(())
    }

    /// The same to all coordinators.
    ///
    /// # Errors
    /// If one cannot be killed.
    pub async fn kill_all_coordinators(&mut self) -> Result<()> {
        self.kill_coordinators(&self.coordinator_ids()).await
    }

    /// SIGSTOP to one coordinator: it is alive and does nothing, until [`Cluster::resume_coordinator`].
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause_coordinator(&self, id: CoordinatorId) -> Result<()> {
        self.coordinator(id).daemon.signal_pause(true)
    }

    /// SIGCONT to one coordinator.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume_coordinator(&self, id: CoordinatorId) -> Result<()> {
        self.coordinator(id).daemon.signal_pause(false)
    }

    /// Whom one coordinator takes for the leader, and in which term; it need not be right.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn opinion(&self, id: CoordinatorId) -> Result<(Option<CoordinatorId>, Term)> {
        let reply = ask_members(&self.coordinator(id).addresses.client, self.certificates()).await?;
        let leader = (reply.leader != 0).then_some(CoordinatorId(reply.leader));
        Ok((leader, Term(reply.term)))
    }

    /// SIGTERM to one coordinator; returns when it has ended with exit code 0.
    ///
    /// # Errors
    /// If it does not end, or ends with another code.
    pub async fn stop_coordinator(&mut self, id: CoordinatorId) -> Result<()> {
        self.coordinator_mut(id).daemon.stop().await
    }

    /// Starts a coordinator that does not run, on its old ports and data; returns when it is ready.
    ///
    /// # Errors
    /// If it does not become ready, with the last lines of its log.
    pub async fn start_coordinator(&mut self, id: CoordinatorId) -> Result<()> {
        let limit = self.options.start_timeout;
        let daemon = &mut self.coordinator_mut(id).daemon;
        daemon.spawn()?;
        daemon.event("ready", limit).await.map(drop)
    }

    /// Starts all coordinators that do not run, together; returns when all are ready.
    ///
    /// # Errors
    /// If one does not become ready, with the last lines of its log.
    pub async fn start_all_coordinators(&mut self) -> Result<()> {
        let limit = self.options.start_timeout;
        for member in self.coordinators.iter_mut().filter(|member| !member.daemon.is_started()) {
            member.daemon.spawn()?;
        }
        for member in &mut self.coordinators {
            member.daemon.event("ready", limit).await?;
        }
        Ok(())
    }

    /// Whether a coordinator that was started has ended by itself, in whatever way.
    pub fn has_ended(&mut self, id: CoordinatorId) -> bool {
        self.coordinator_mut(id).daemon.has_ended()
    }

    /// What a coordinator exited with by itself, if it did.
    pub fn exit_code(&mut self, id: CoordinatorId) -> Option<i32> {
        self.coordinator_mut(id).daemon.exit_code()
    }

    /// SIGKILL to one worker, counted from 0.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index].kill().await
    }

    /// SIGSTOP to one worker, counted from 0, and not to its services: it does nothing until [`Cluster::resume_worker`].
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause_worker(&self, index: usize) -> Result<()> {
        self.workers[index].signal_pause(true)
    }

    /// SIGCONT to one worker.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume_worker(&self, index: usize) -> Result<()> {
        self.workers[index].signal_pause(false)
    }

    /// The pid of a worker that runs, counted from 0.
    #[must_use]
    pub fn worker_pid(&self, index: usize) -> Option<u32> {
        self.workers[index].pid()
    }

    /// SIGTERM to one worker, counted from 0; returns when it has ended with exit code 0.
    ///
    /// # Errors
    /// If it does not end, or ends with another code.
    pub async fn stop_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index].stop().await
    }

    /// Starts a worker that does not run; returns when it is attached.
    ///
    /// # Errors
    /// If it does not attach, with the last lines of its log.
    pub async fn start_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index].spawn()?;
        self.worker_attached(index).await
    }

    async fn worker_attached(&mut self, index: usize) -> Result<()> {
        let limit = self.options.start_timeout;
        self.workers[index].event("attached", limit).await.map(drop)
    }

    /// SIGTERM to everything, workers first, and makes sure that no process of this run is left.
    ///
    /// # Errors
    /// If a daemon does not end cleanly, or a process is left over.
    pub async fn shutdown(mut self) -> Result<()> {
        let coordinators = self.coordinators.iter_mut().map(|member| &mut member.daemon);
        for daemon in self.workers.iter_mut().chain(coordinators).filter(|daemon| daemon.is_started()) {
            daemon.stop().await?;
        }
        wait_until(LEFTOVER_LIMIT, "no process of this run is left", || async {
            let left = self.run.processes();
            ensure!(left.is_empty(), "still there: {left:?}");
            Ok(())
        })
        .await
    }

    /// How often the coordinators have written this to their logs, all together.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub fn written(&self, text: &str) -> Result<usize> {
        self.coordinators.iter().map(|member| member.daemon.written(text)).sum()
    }

    /// How often one worker, counted from 0, has written this to its log.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn worker_written(&self, index: usize, text: &str) -> Result<usize> {
        self.workers[index].written(text)
    }

    /// The last lines of every daemon's log.
    #[must_use]
    pub fn tails(&self) -> String {
        let coordinators = self.coordinators.iter().map(|member| &member.daemon);
        let tails: Vec<_> = coordinators.chain(&self.workers).map(Daemon::tail).collect();
        tails.join("\n")
    }

    /// The pid of a coordinator that runs.
    #[must_use]
    pub fn coordinator_pid(&self, id: CoordinatorId) -> Option<u32> {
        self.coordinator(id).daemon.pid()
    }

    fn coordinator(&self, id: CoordinatorId) -> &Coordinator {
        let found = self.coordinators.iter().find(|member| member.addresses.id == id);
        found.unwrap_or_else(|| panic!("there is no coordinator {id}"))
    }

    fn coordinator_mut(&mut self, id: CoordinatorId) -> &mut Coordinator {
        let found = self.coordinators.iter_mut().find(|member| member.addresses.id == id);
        found.unwrap_or_else(|| panic!("there is no coordinator {id}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tails());
        }
        self.workers.clear();
        self.coordinators.clear();
        self.run.kill_leftovers();
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.folder.path().display());
        }
    }
}

fn addresses(id: CoordinatorId, lease: &PortLease, host: Option<&Host>) -> MemberAddresses {
    let address = host.map_or("127.0.0.1", |host| &host.address);
    // The published convention: workers call the port after the clients'.
    let at = |position| format!("{address}:{}", lease.port(position));
    MemberAddresses { id, client: at(0), worker: at(1), peer: at(2) }
}

fn make_folder(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
    Ok(path.to_path_buf())
}

/// One coordinator's own view of the members and the leader.
async fn ask_members(address: &str, certificates: Option<&Certificates>) -> Result<MembersReply> {
    let mut client = ClusterClient::new(question(address, certificates)?);
    Ok(client.members(MembersRequest {}).await?.into_inner())
}

/// A connection for one question to one coordinator.
fn question(address: &str, certificates: Option<&Certificates>) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let client = certificates.map(Certificates::of_clients).transpose()?;
    Ok(channel(endpoint.connect_timeout(QUESTION_LIMIT).timeout(QUESTION_LIMIT), client.as_ref()))
}
