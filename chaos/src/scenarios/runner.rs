//! `runner`: caches die in turn, the leader with each of them, while a program on our Runner makes a map-reduce whose inputs
//! lie in the caches, and counts with a stateful instance beside it.
//!
//! The program handles no error. No call of it may fail, each is counted once, and in the end every object of which two
//! copies are wanted must be there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_sdk::model::ObjectEntry;
use flame_sdk::{Connection, Endpoints, Options as ClientOptions};
use flame_testkit::{Binaries, Cache, Cluster, ClusterOptions, PortLease, wait_until};
use flame_types::ObjectTarget;
use futures::TryStreamExt;
use serde::Deserialize;

use super::judge::{Judge, millis};
use super::program::{Program, interpreter, package};
use super::report::Report;

const NAME: &str = "runner";

/// The application of the program; its objects of which two copies are wanted are in this session.
const SHARED: &str = "chaos-runner/shared";

/// Caches: with one of them gone, there are two for two copies.
const CACHES: usize = 3;

/// Nobody may wait longer than this for a result.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Until there are two copies again.
const COPIES_LIMIT: Duration = Duration::from_secs(60);

/// Flags of `flame-chaos runner`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Calls of the map-reduce.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(500..))]
    calls: u64,
    /// Calls in a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=500))]
    pace: u64,
}

/// What the program says at its end.
#[derive(Debug, Deserialize)]
struct Told {
    calls: u64,
    errors: u64,
    first_errors: Vec<String>,
    right: bool,
    tallies: u64,
    tallies_right: bool,
    tallies_wrong: Vec<String>,
    objects: u64,
    objects_right: bool,
    longest_pause_ms: u64,
    took_ms: u64,
}

/// Plays it.
///
/// # Errors
/// If something does not start, or does not come back.
pub async fn run(options: Options) -> Result<Report> {
    let Some(python) = interpreter("FLAME_PYTHON_VENV", "venv-python") else {
        let reason = "what our Python package stands on is not installed; `make deps` does it".to_owned();
        return Ok(Report::skipped(NAME, reason));
    };
    let mut judge = Judge::new(NAME);
    let mut scene = Scene::start(&python).await?;
    let mut program = scene.program(&python, &options)?;
    program.runs().await.with_context(|| scene.tails())?;
    let mut held = Vec::new();
    for at in 0..CACHES {
        let objects = scene.copied().await?;
        let name = scene.caches[at].name().to_owned();
        held.push(objects.values().filter(|object| object.places.iter().any(|place| place.node == name)).count());
        let leader = scene.cluster.leader().await?.id;
        eprintln!("==> {name} is killed, and the leader, coordinator {leader}");
        scene.caches[at].kill().await?;
        scene.cluster.kill_coordinator(leader).await?;
        scene.cluster.leader().await?;
        // Every other one stays away until its lease is over, so that others make up for its copies.
        if at.is_multiple_of(2) {
            scene.caches[at].attached(&scene.cluster, false).await?;
        }
        scene.cluster.start_coordinator(leader).await?;
        scene.caches[at].start_again().await?;
        scene.caches[at].attached(&scene.cluster, true).await?;
    }
    let was_at_work = program.is_at_work()?;
    let told: Told = program.told().await.with_context(|| scene.tails())?;
    eprintln!("    {told:?}");
    judge.figure("kills", CACHES);
    judge.figure("held", held.clone());
    judge.presume(held.iter().all(|objects| *objects > 0), || "a cache that was killed had no object".to_owned());
    judge.presume(was_at_work, || "the program was done before the last kill: give it more --calls".to_owned());
    weigh(&mut judge, &told);
    scene.shutdown().await?;
    Ok(judge.report())
}

/// No error, every call once, every object with its bytes, no long silence.
fn weigh(judge: &mut Judge, told: &Told) {
    judge.figure("calls", told.calls);
    judge.figure("tallies", told.tallies);
    judge.figure("objects", told.objects);
    judge.figure("pause_ms", told.longest_pause_ms);
    judge.figure("took_ms", told.took_ms);
    judge.require(told.errors == 0, || format!("{} calls failed: {}", told.errors, told.first_errors.join("; ")));
    judge.require(told.right, || "the words were not all counted once".to_owned());
    judge.require(told.tallies_right, || format!("the instance was off: {}", told.tallies_wrong.join("; ")));
    judge.require(told.objects_right, || "an object is not what was put".to_owned());
    let pause = Duration::from_millis(told.longest_pause_ms);
    judge.require(pause <= PAUSE_MAX, || format!("no result for {} ms", millis(pause)));
}

/// A cluster whose worker installs packages, and several caches.
struct Scene {
    caches: Vec<Cache>,
    cluster: Cluster,
    connection: Connection,
    // Dropped last: services look into it as long as they run.
    home: tempfile::TempDir,
}

impl Scene {
    async fn start(python: &Path) -> Result<Self> {
        let home = tempfile::tempdir().context("a folder for the home of the worker")?;
        let ports = (0..CACHES).map(|_| PortLease::take()).collect::<Result<Vec<_>>>()?;
        let endpoints: Vec<_> = ports.iter().map(|port| format!("grpc://127.0.0.1:{}", port.port(0))).collect();
        let venv = python.parent().and_then(Path::parent).context("the interpreter is in no environment")?;
        let environment = vec![
            Binaries::find()?.furnish(home.path())?,
            ("VIRTUAL_ENV".to_owned(), venv.display().to_string()),
            ("PYTHONPATH".to_owned(), package().display().to_string()),
            // Services know all of them, and so can go on with the next one.
            ("FLAME_CACHE_ENDPOINT".to_owned(), endpoints.join(",")),
        ];
        eprintln!("==> starting 3 coordinators, a worker and {CACHES} caches");
        let cluster = Cluster::start(ClusterOptions { environment, ..ClusterOptions::default() }).await?;
        let mut caches = Vec::new();
        for (number, ports) in ports.into_iter().enumerate() {
            caches.push(Cache::join_on(&cluster, &format!("cache-{}", number + 1), ports, &[]).await?);
        }
        let connection = Connection::open(Endpoints::parse(&cluster.endpoints())?, ClientOptions::default())?;
        Ok(Self { caches, cluster, connection, home })
    }

    /// The program, in a project of its own.
    fn program(&self, python: &Path, options: &Options) -> Result<Program> {
        let project = self.home.path().join("project");
        std::fs::create_dir(&project).context("a folder for the project")?;
        let caches: Vec<_> = self.caches.iter().map(Cache::endpoint).collect();
        let environment = [
            ("HOME", self.home.path().display().to_string()),
            ("FLAME_ENDPOINT", self.cluster.endpoints().join(",")),
            ("FLAME_CACHE_ENDPOINT", caches.join(",")),
        ];
        let words = [options.calls.to_string(), options.pace.to_string(), project.display().to_string()];
        Program::start("runner.py", python, &words, &environment)
    }

    /// Waits until two caches that are there have each object of which two copies are wanted.
    async fn copied(&self) -> Result<BTreeMap<String, ObjectEntry>> {
        let target = ObjectTarget::parse(SHARED)?;
        let found = wait_until(COPIES_LIMIT, "two copies of every shared object", || async {
            let objects: Vec<_> = self.connection.list_objects(Some(&target)).try_collect().await?;
            ensure!(!objects.is_empty(), "there are none");
            for object in &objects {
                let present = object.places.iter().filter(|place| !place.away).count();
                ensure!(present >= 2, "{object:?}");
            }
            Ok(objects)
        });
        let objects = found.await.with_context(|| self.tails())?;
        Ok(objects.into_iter().map(|object| (object.key.clone(), object)).collect())
    }

    fn tails(&self) -> String {
        let caches: Vec<_> = self.caches.iter().map(Cache::tail).collect();
        format!("{}\n{}", self.cluster.tails(), caches.join("\n"))
    }

    async fn shutdown(self) -> Result<()> {
        for mut cache in self.caches {
            cache.stop().await?;
        }
        self.cluster.shutdown().await
    }
}
