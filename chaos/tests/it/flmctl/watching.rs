//! `-w`: what changes is printed, until the user ends it.

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::scene::{Scene, echo_manifest};
use super::sheet::Table;
use crate::programs::Running;

pub async fn step(scene: &Scene) -> Result<()> {
    let nodes = scene.nodes();
    let file = scene.file("seen.yaml", &echo_manifest("seen", "")?)?;
    nodes[0].says(&["register", "-f", &file]).await?;
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

    let ended = table.end_by(Signal::INT).await?.with_code(130)?;
    let header: Vec<_> = ended.stdout.lines().filter(|line| line.contains("Slots")).collect();
    ensure!(header.len() == 1, "the header is printed once: {}", ended.story());
    ensure!(Table::read(&ended.stdout)?.columns.len() == 11, "{}", ended.story());
    json.end_by(Signal::TERM).await?.with_code(130)?;
    nodes[0].says(&["close", "-s", "seen-later"]).await?;
    nodes[0].says(&["delete", "-s", "seen-later"]).await?;
    nodes[0].says(&["unregister", "-a", "seen"]).await.map(drop)
}
