//! `latency`: a caller that waits for each result before it submits the next task, on an idle cluster. It has a thread and
//! a runtime of its own, of the kind for one thread: a program that does one thing at a time needs no other.

use anyhow::{Context, Result};
use flame_sdk::{Connection, Options};
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::meter;
use crate::scene::Scene;
use crate::settings::Settings;
use crate::workloads::Outcome;

const TASKS: u64 = 1_000;
const EXECUTORS: u32 = 2;
const WARM_UP: u64 = 50;

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let tasks = settings.tasks_or(TASKS);
    let scene = Scene::start(EXECUTORS, &settings).await?;
    let session = scene.echo_session(EXECUTORS).await?;
    let endpoints = scene.connection.endpoints().clone();
    let caller = Caller::start()?;
    let (caller, client) = caller
        .does(async move {
            let client = Client::open(&Connection::open(endpoints, Options::default())?, &session).await?;
            client.one_by_one(0..WARM_UP).await?;
            Ok(client)
        })
        .await?;
    let calls = caller.does(async move { client.one_by_one(WARM_UP..WARM_UP + tasks).await });
    let figures = meter::series(&scene, &settings, async { Ok(calls.await?.1) }).await?;
    scene.end(figures).await
}

/// A runtime of its own; a thread while it does something. Dropping it waits for nothing, so async code may do that.
struct Caller(Option<Runtime>);

impl Caller {
    fn start() -> Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build().context("a runtime for the caller")?)))
    }

    /// Does something, and gives the caller back with what came of it.
    async fn does<T: Send + 'static>(
        mut self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<(Self, T)> {
        let runtime = self.0.take().context("the caller has ended")?;
        let done = spawn_blocking(move || {
            let done = runtime.block_on(work);
            (Self(Some(runtime)), done)
        });
        let (caller, done) = done.await.context("the caller's thread broke")?;
        Ok((caller, done?))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
