//! `flmctl`, `flmping` and `flmexec` as users type them, against three coordinators and a worker.
//!
//! Everything is asked of every coordinator: whoever is asked, the answer is the same. One cluster serves all steps,
//! since starting one takes longer than most of them.

mod applications;
mod coordinators;
mod dev;
mod election;
mod exec;
mod explanations;
mod operating;
mod ping;
mod reading;
mod repeats;
mod scene;
mod sessions;
mod sheet;
mod tasks;
mod watching;

use anyhow::{Context, Result};

use scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_answers_the_same_through_every_coordinator() -> Result<()> {
    let mut scene = Scene::start().await?;
    let outcome = steps(&mut scene).await;
    outcome.with_context(|| scene.cluster.tails())?;
    scene.cluster.shutdown().await
}

async fn steps(scene: &mut Scene) -> Result<()> {
    for node in scene.nodes() {
        applications::step(scene, &node).await.with_context(|| format!("applications through {node:?}"))?;
        sessions::step(scene, &node).await.with_context(|| format!("sessions through {node:?}"))?;
        tasks::step(scene, &node).await.with_context(|| format!("tasks through {node:?}"))?;
    }
    explanations::step(scene).await.context("why tasks wait")?;
    operating::step(scene).await.context("what operators ask and order")?;
    reading::step(scene).await.context("reading")?;
    watching::step(scene).await.context("watching")?;
    ping::step(scene).await.context("flmping")?;
    exec::step(scene).await.context("flmexec")?;
    repeats::step(scene).await.context("submits whose answers are lost")?;
    coordinators::step(scene).await.context("coordinators")?;
    election::step(scene).await.context("an election")
}
