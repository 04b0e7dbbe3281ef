//! `-w`: what changes is printed, until the user ends it, whoever dies meanwhile.

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::scene::{Node, Scene, echo_manifest, open, through, wait_for};
use super::sheet::Table;
use crate::programs::{Ended, Running};

pub async fn step(scene: &mut Scene) -> Result<()> {
    let nodes = scene.nodes();
    let file = scene.file("seen.yaml", &echo_manifest("seen", "")?)?;
    nodes[0].says(&["register", "-f", &file]).await?;
    lists(&nodes).await?;
    one_thing(scene, &nodes).await?;
    its_node_dies(scene).await?;
    nodes[0].says(&["unregister", "-a", "seen"]).await.map(drop)
}

async fn lists(nodes: &[Node]) -> Result<()> {
    let mut table = Running::start("flmctl", &nodes[1].words(&["list", "-s", "-w"]))?;
    let mut json = Running::start("flmctl", &nodes[2].words(&["list", "-s", "-w", "-o", "json"]))?;
    table.says("Slots").await?;
    json.says("\"sessions\"").await?;
    nodes[0].says(&["create", "-a", "seen", "--id", "seen-later"]).await?;
    table.says("seen-later").await?;
    json.says("seen-later").await?;
    nodes[0].says(&["suspend", "-s", "seen-later"]).await?;
    table.says("Suspended").await?;
    json.says("Suspended").await?;

    let ended = interrupted(table, Signal::INT).await?;
    let header: Vec<_> = ended.stdout.lines().filter(|line| line.contains("Slots")).collect();
    ensure!(header.len() == 1, "the header is printed once: {}", ended.story());
    ensure!(Table::read(&ended.stdout)?.columns.len() == 11, "{}", ended.story());
    interrupted(json, Signal::TERM).await?;
    nodes[0].says(&["close", "-s", "seen-later"]).await?;
    nodes[0].says(&["delete", "-s", "seen-later"]).await.map(drop)
}

/// A session and its task, until the session is gone.
async fn one_thing(scene: &Scene, nodes: &[Node]) -> Result<()> {
    const ID: &str = "seen-one";
    nodes[0].says(&["create", "-a", "seen", "--id", ID]).await?;
    let gate = scene.gate(ID);
    let number = scene.submit(ID, &wait_for(&gate)).await?;
    nodes[0].task_in("Running", ID, &number).await?;
    let mut task = Running::start("flmctl", &nodes[1].words(&["view", "-s", ID, "-t", &number, "-w"]))?;
    let mut session = Running::start("flmctl", &nodes[2].words(&["view", "-s", ID, "-w"]))?;
    task.says("Running").await?;
    session.says("1 running, 0 succeed").await?;
    open(&gate)?;
    task.says("Succeed").await?;
    session.says("0 running, 1 succeed").await?;
    nodes[0].says(&["close", "-s", ID]).await?;
    session.says("Closed").await?;
    interrupted(task, Signal::INT).await?;
    nodes[0].says(&["delete", "-s", ID]).await?;
    let gone = session.ended().await?.complained(3, &["session seen-one not found"])?;
    ensure!(gone.stdout.contains("Closed"), "{}", gone.story());
    Ok(())
}

/// The leader dies while it is asked; the watches go on at the others.
async fn its_node_dies(scene: &mut Scene) -> Result<()> {
    const ID: &str = "seen-after";
    let victim = scene.cluster.leader().await?.id;
    let nodes = scene.nodes_from(victim);
    let watch = |words: &[&str]| Running::start("flmctl", &through(&nodes, words));
    let mut table = watch(&["list", "-s", "-w"])?;
    let mut json = watch(&["list", "-n", "-w", "-o", "json"])?;
    let mut status = watch(&["cluster", "status", "-w"])?;
    table.says("Slots").await?;
    json.says("\"nodes\"").await?;
    status.says("healthy (3 of 3 members serve").await?;
    scene.cluster.kill_coordinator(victim).await?;
    status.says("degraded (2 of 3 members serve").await?;
    nodes[1].says(&["create", "-a", "seen", "--id", ID]).await?;
    table.says(ID).await?;
    nodes[2].says(&["close", "-s", ID]).await?;
    table.says("Closed").await?;
    scene.cluster.kill_worker(0).await?;
    json.says("Unknown").await?;

    scene.cluster.start_worker(0).await?;
    scene.cluster.start_coordinator(victim).await?;
    scene.cluster.leader().await?;
    let ended = interrupted(table, Signal::INT).await?;
    ensure!(ended.stdout.matches("Slots").count() == 1, "it goes on, it does not start again: {}", ended.story());
    interrupted(status, Signal::INT).await?;
    interrupted(json, Signal::INT).await?;
    nodes[1].says(&["delete", "-s", ID]).await.map(drop)
}

/// What a watch has said when the user ends it: it has nothing else to complain about.
async fn interrupted(watch: Running, signal: Signal) -> Result<Ended> {
    let ended = watch.end_by(signal).await?.with_code(130)?;
    ensure!(ended.stderr.contains("interrupted") && ended.stderr.lines().count() == 1, "{}", ended.story());
    Ok(ended)
}
