//! `cache`: one client on our Python package puts objects into a cache on the same host, and gets them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use flame_testkit::Cache;
use serde::Deserialize;
use tokio::process::Command;

use crate::accounting::Kind;
use crate::companion::Companion;
use crate::objects;
use crate::settings::Settings;
use crate::workloads::Outcome;
use crate::workloads::python::{OURS, SEARCH_PATH};

/// What it says when it can begin.
#[derive(Deserialize)]
struct Ready {
    version: String,
}

/// One run.
pub async fn run(settings: Settings) -> Result<Outcome> {
    let Some(interpreter) = OURS.interpreter() else { return Ok(Outcome::Skipped(OURS.missing())) };
    let cache = Cache::start(&[]).await?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(interpreter);
    command.arg(here.join("python/cache_objects.py")).arg(cache.endpoint());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env(SEARCH_PATH, here.join("../sdk/python/src"));
    // Nothing that the user has configured is for it.
    command.env("HOME", cache.folder());
    let mut client = Companion::start("the Python client", command)?;
    let ready: Ready = serde_json::from_str(&client.line().await?).context("the client's first line")?;
    eprintln!("    {}", ready.version);
    let pids = [(client.pid(), Kind::Client), (cache.pid(), Kind::Cache)];
    let processes: BTreeMap<u32, Kind> = pids.into_iter().filter_map(|(pid, kind)| Some((pid?, kind))).collect();
    let figures = objects::measure(&mut client, settings.tasks, || processes.clone()).await?;
    client.end().await?;
    Ok(Outcome::Measured(figures))
}
