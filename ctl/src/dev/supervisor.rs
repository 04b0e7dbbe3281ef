//! The process that owns the daemons of a `flmctl dev` cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flame_sdk::{Connection, Endpoints, Options};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::control::{self, Reply, Request};
use super::daemon::{self, Program, Report, Running, What};
use super::plan::CACHE;
use super::programs::{log_file, programs};
use super::{DaemonState, DevArgs, DevStatus, Plan};
use crate::exit::{Exit, Failure};
use crate::output::{note, print};
use crate::render::{Format, render};

/// How long a daemon may take to listen, and a worker to find the leader.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a daemon may take to end before it is killed.
const END_LIMIT: Duration = Duration::from_secs(15);

/// How long a killed daemon may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long the cluster may take to say who leads.
const LEADER_LIMIT: Duration = Duration::from_secs(60);

/// Between two questions about the leader.
const LEADER_INTERVAL: Duration = Duration::from_millis(50);

/// Most times other ports are tried when one that was free is taken.
const PORT_ATTEMPTS_MAX: u32 = 5;

/// By this a coordinator says that a port is in use.
const EXIT_PORT_IN_USE: i32 = 12;

/// Reports that wait.
const REPORTS_MAX: usize = 256;

/// Lines of a log that are shown when a daemon does not come up.
const LOG_LINES_SHOWN: usize = 5;

/// A cluster and the processes it is made of.
pub(super) struct Supervisor {
    flmctl: PathBuf,
    data: PathBuf,
    plan: Plan,
    /// Coordinators, the object cache, then workers.
    programs: Vec<Program>,
    running: BTreeMap<String, Running>,
    ended: BTreeMap<String, String>,
    ready: bool,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
    requests: mpsc::Receiver<(Request, UnixStream)>,
    /// Held while this process lives: two supervisors never share a folder.
    _lock: File,
}

/// Why bringing a cluster up ended.
enum NotUp {
    /// A port was taken between choosing and listening.
    PortInUse(Failure),
    Failed(Failure),
}

impl From<Failure> for NotUp {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Supervisor {
    /// Runs a cluster until it is told to stop.
    pub(super) async fn run(args: &DevArgs, data: &Path, named: bool, color: bool) -> Result<(), Failure> {
        if args.background {
            // Leaves the terminal, so that closing it does not end the cluster.
            rustix::process::setsid()
                .map_err(|error| Failure::failed(format!("cannot leave the terminal: {error}")))?;
        }
        let lock = lock(data)?;
        if !named {
            // Left by a start that failed, for whoever wanted to look.
            wipe(data)?;
        }
        let fresh = !data.join("plan.json").exists();
        let plan = Plan::find_or_make(args, data)?;
        let mut supervisor = Self::new(data, plan, lock)?;
        let result = supervisor.live(args, fresh, color).await;
        supervisor.shut_down().await;
        let failed = result.as_ref().is_err_and(|failure| failure.exit != Exit::Interrupted);
        // After a failure the logs are worth more than a clean folder.
        supervisor.clean_up(named || failed);
        result
    }

    fn new(data: &Path, plan: Plan, lock: File) -> Result<Self, Failure> {
        let flmctl = std::env::current_exe().map_err(|error| Failure::failed(error.to_string()))?;
        let requests = control::listen(data)?;
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        Ok(Self {
            flmctl,
            data: data.to_owned(),
            plan,
            programs: Vec::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            ready: false,
            reports,
            reporter,
            requests,
            _lock: lock,
        })
    }

    async fn live(&mut self, args: &DevArgs, fresh: bool, color: bool) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::select! {
            result = self.bring_up_somewhere(args, fresh) => result?,
            _ = terminate.recv() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            _ = interrupt.recv() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
        self.ready = true;
        self.save();
        print(&render(&self.status(), Format::Table, color)?)?;
        note("The cluster runs; Ctrl-C ends it.\n");
        loop {
            tokio::select! {
                Some(report) = self.reports.recv() => {
                    self.take_unexpected(report);
                    self.save();
                }
                Some((request, stream)) = self.requests.recv() => {
                    if self.serve(request, stream).await {
                        return Ok(());
                    }
                    self.save();
                }
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }

    /// Brings the cluster up; a new one moves to other ports when one of its own has been taken meanwhile.
    async fn bring_up_somewhere(&mut self, args: &DevArgs, fresh: bool) -> Result<(), Failure> {
        for attempt in 1.. {
            match self.bring_up().await {
                Ok(()) => return Ok(()),
                Err(NotUp::PortInUse(_)) if fresh && attempt < PORT_ATTEMPTS_MAX => {
                    self.shut_down().await;
                    for coordinator in &self.plan.coordinators {
                        // It never served: its identity names the old ports.
                        let _absent =
                            std::fs::remove_dir_all(self.data.join(format!("coordinator-{}", coordinator.id)));
                    }
                    self.plan = self.plan.with_other_ports(args)?;
                }
                Err(NotUp::PortInUse(failure) | NotUp::Failed(failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn bring_up(&mut self) -> Result<(), NotUp> {
        self.plan.write(&self.data)?;
        self.programs = programs(&self.plan, &self.data, &self.flmctl)?;
        let coordinators: Vec<String> = self.plan.coordinators.iter().map(|c| c.id.to_string()).collect();
        let workers: Vec<String> = self.plan.workers.iter().map(|worker| worker.name.clone()).collect();
        // Services that workers start may want it from the beginning.
        let first: Vec<String> = coordinators.into_iter().chain(self.cache()).collect();
        for name in &first {
            self.start(name)?;
        }
        for name in &first {
            self.wait_ready(name).await?;
        }
        self.leader().await?;
        for name in &workers {
            self.start(name)?;
        }
        for name in &workers {
            self.wait_ready(name).await?;
        }
        Ok(())
    }

    /// The name of the cache, if there is one.
    fn cache(&self) -> Option<String> {
        self.plan.cache.as_ref().map(|_| CACHE.to_owned())
    }

    fn start(&mut self, name: &str) -> Result<(), Failure> {
        let program = self.programs.iter().find(|program| program.name == name).ok_or_else(|| self.nobody(name))?;
        let running = daemon::start(&self.flmctl, program, &self.reporter)?;
        self.ended.remove(name);
        self.running.insert(name.to_owned(), running);
        Ok(())
    }

    fn nobody(&self, name: &str) -> Failure {
        let names: Vec<&str> = self.programs.iter().map(|program| program.name.as_str()).collect();
        Failure::new(Exit::NotFound, format!("there is no daemon {name:?}; there are {}", names.join(", ")))
    }

    /// Until a coordinator or the cache listens, or a worker has found the leader.
    async fn wait_ready(&mut self, name: &str) -> Result<(), NotUp> {
        let is_worker = self.plan.workers.iter().any(|worker| worker.name == name);
        let log = self.log(name);
        let waited = timeout(READY_LIMIT, async {
            if self.plan_ready(name, is_worker) {
                return Ok(());
            }
            while let Some(report) = self.reports.recv().await {
                self.note_progress(&report);
                if let What::Ended(status) = report.what {
                    let failure = ended_early(&report.name, status, &self.log(&report.name));
                    self.take_end(&report.name, status);
                    let port = status.and_then(|status| status.code()) == Some(EXIT_PORT_IN_USE);
                    return Err(if port { NotUp::PortInUse(failure) } else { NotUp::Failed(failure) });
                }
                if self.plan_ready(name, is_worker) {
                    return Ok(());
                }
            }
            Ok(())
        });
        let late = || Failure::new(Exit::TimedOut, format!("{name} is not ready in time; see {}", log.display()));
        waited.await.map_err(|_| NotUp::Failed(late()))?
    }

    fn plan_ready(&self, name: &str, is_worker: bool) -> bool {
        self.running.get(name).is_some_and(|running| if is_worker { running.attached } else { running.ready })
    }

    fn note_progress(&mut self, report: &Report) {
        if let Some(running) = self.running.get_mut(&report.name) {
            running.ready |= matches!(report.what, What::Ready);
            running.attached |= matches!(report.what, What::Attached);
        }
    }

    fn take_end(&mut self, name: &str, status: Option<std::process::ExitStatus>) {
        self.running.remove(name);
        self.ended.insert(name.to_owned(), status.map_or_else(|| "ended".to_owned(), |status| status.to_string()));
    }

    fn take_unexpected(&mut self, report: Report) {
        self.note_progress(&report);
        if let What::Ended(status) = report.what {
            note(&format!("{}\n", ended_early(&report.name, status, &self.log(&report.name)).message));
            self.take_end(&report.name, status);
        }
    }

    /// Answers a request; true means stop.
    async fn serve(&mut self, request: Request, stream: UnixStream) -> bool {
        let stop = matches!(request, Request::Stop);
        let result = match request {
            Request::Status => Ok(String::new()),
            Request::Kill { who } => self.kill(&who).await,
            Request::Start { who } => self.start_again(&who).await,
            Request::Stop => {
                self.shut_down().await;
                Ok("The cluster has ended.\n".to_owned())
            }
        };
        let reply = match result {
            Ok(text) => Reply::Done { text, status: self.status() },
            Err(failure) => Reply::Refused { exit: failure.exit.code(), message: failure.message },
        };
        control::answer(stream, &reply).await;
        stop
    }

    async fn kill(&mut self, who: &str) -> Result<String, Failure> {
        let name = if who == "leader" { self.leader().await?.to_string() } else { who.to_owned() };
        if !self.programs.iter().any(|program| program.name == name) {
            return Err(self.nobody(&name));
        }
        let Some(running) = self.running.get(&name) else {
            return Err(Failure::new(
                Exit::Conflict,
                format!("{name} does not run; `flmctl dev start {name}` starts it"),
            ));
        };
        let pid = running.pid;
        running.signal(Signal::KILL);
        self.wait_ended(std::slice::from_ref(&name), KILL_LIMIT).await;
        Ok(format!("Killed {name} (pid {pid}); `flmctl dev start {name}` starts it again.\n"))
    }

    async fn start_again(&mut self, name: &str) -> Result<String, Failure> {
        if self.running.contains_key(name) {
            return Err(Failure::new(Exit::Conflict, format!("{name} runs already")));
        }
        self.start(name)?;
        self.wait_ready(name).await.map_err(|not_up| match not_up {
            NotUp::PortInUse(failure) | NotUp::Failed(failure) => failure,
        })?;
        let pid = self.running.get(name).map_or(0, |running| running.pid);
        Ok(format!("Started {name} (pid {pid}).\n"))
    }

    /// Who leads, by the word of any coordinator.
    async fn leader(&self) -> Result<u64, Failure> {
        let connection = Connection::open(Endpoints::parse(&self.plan.endpoints())?, Options::default())?;
        let asked = timeout(LEADER_LIMIT, async {
            loop {
                if let Ok(members) = connection.members().await
                    && let Some(leader) = members.leader
                    && self.running.contains_key(&leader.to_string())
                {
                    return leader;
                }
                sleep(LEADER_INTERVAL).await;
            }
        });
        asked
            .await
            .map_err(|_| Failure::new(Exit::TimedOut, format!("nobody leads; see the logs in {}", self.data.display())))
    }

    /// Ends everything: workers first, then the cache, so that they can say goodbye.
    async fn shut_down(&mut self) {
        let workers: Vec<String> = self.plan.workers.iter().map(|worker| worker.name.clone()).collect();
        let coordinators: Vec<String> = self.plan.coordinators.iter().map(|c| c.id.to_string()).collect();
        let cache = self.cache().into_iter().collect();
        for names in [workers, cache, coordinators] {
            self.signal_all(&names, Signal::TERM);
            self.wait_ended(&names, END_LIMIT).await;
            self.signal_all(&names, Signal::KILL);
            self.wait_ended(&names, KILL_LIMIT).await;
        }
    }

    fn signal_all(&self, names: &[String], signal: Signal) {
        for running in names.iter().filter_map(|name| self.running.get(name)) {
            running.signal(signal);
        }
    }

    /// Until these have ended, or time is out.
    async fn wait_ended(&mut self, names: &[String], limit: Duration) {
        let ended = async {
            while names.iter().any(|name| self.running.contains_key(name)) {
                let Some(report) = self.reports.recv().await else { return };
                self.note_progress(&report);
                if let What::Ended(status) = report.what {
                    self.take_end(&report.name, status);
                }
            }
        };
        // What is left then is killed next, or reported by `status`.
        let _late = timeout(limit, ended).await;
    }

    fn status(&self) -> DevStatus {
        let kind = |name: &str| match name {
            CACHE => "cache",
            _ if self.plan.workers.iter().any(|worker| worker.name == name) => "worker",
            _ => "coordinator",
        };
        let endpoint = |name: &str| {
            if name == CACHE {
                return self.plan.cache_endpoint();
            }
            let found = self.plan.coordinators.iter().find(|coordinator| coordinator.id.to_string() == name);
            found.map(|coordinator| format!("http://{}", coordinator.client))
        };
        let daemons = self.programs.iter().map(|program| DaemonState {
            name: program.name.clone(),
            kind: kind(&program.name).to_owned(),
            pid: self.running.get(&program.name).map(|running| running.pid),
            ended: self.ended.get(&program.name).cloned(),
            endpoint: endpoint(&program.name),
            log: program.log.display().to_string(),
        });
        DevStatus {
            pid: std::process::id(),
            data: self.data.display().to_string(),
            endpoints: self.plan.endpoints(),
            cache_endpoint: self.plan.cache_endpoint(),
            ready: self.ready,
            daemons: daemons.collect(),
        }
    }

    /// For other programs: the same as `flmctl dev status -o json`.
    fn save(&self) {
        let path = self.data.join("status.json");
        let written = serde_json::to_vec_pretty(&self.status())
            .map_err(std::io::Error::other)
            .and_then(|json| std::fs::write(&path, json));
        if let Err(error) = written {
            note(&format!("flmctl: cannot write {}: {error}\n", path.display()));
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        log_file(&self.data, name)
    }

    fn clean_up(&self, keep: bool) {
        let removed = if keep {
            std::fs::remove_file(self.data.join("control.sock"))
        } else {
            std::fs::remove_dir_all(&self.data)
        };
        if let Err(error) = removed {
            note(&format!("flmctl: cannot clean up {}: {error}\n", self.data.display()));
        }
    }
}

/// Empties a folder that nobody has named.
fn wipe(data: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", data.display()));
    for entry in std::fs::read_dir(data).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if matches!(entry.file_name().to_str(), Some("lock" | "dev.log")) {
            continue;
        }
        let folder = entry.file_type().map_err(failed)?.is_dir();
        let removed = if folder { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
        removed.map_err(failed)?;
    }
    Ok(())
}

fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join("lock");
    let file = File::create(&path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Failure::new(Exit::Conflict, format!("a cluster of `flmctl dev` runs in {} already", data.display()))
            .hint("end it with `flmctl dev stop`, or name another folder with --data DIR")
    })?;
    Ok(file)
}

fn ended_early(name: &str, status: Option<std::process::ExitStatus>, log: &Path) -> Failure {
    let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended with {status}"));
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
    Failure::failed(format!("{name} {how}; the end of {}:\n  {last}", log.display()))
}
