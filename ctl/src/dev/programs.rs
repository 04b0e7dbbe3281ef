//! Which programs the daemons are, and where they lie: beside `flmctl`, as every installation has them.

use std::path::{Path, PathBuf};

use super::Plan;
use super::daemon::Program;
use super::plan::{CACHE, cache_file, coordinator_file, worker_file};
use crate::exit::{Exit, Failure};

/// The programs that the applications need which ship with Flame, and what they are called below `FLAME_HOME`.
const SERVICES: [(&str, &str); 3] =
    [("flmping-service", "flmping-service"), ("flmexec-service", "flmexec-service"), ("flame-uv", "uv")];

/// Where a daemon's stderr goes.
pub(super) fn log_file(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.log"))
}

/// What is started for each daemon: coordinators, the object cache, then workers.
pub(super) fn programs(plan: &Plan, data: &Path, flmctl: &Path) -> Result<Vec<Program>, Failure> {
    let folder = flmctl.parent().unwrap_or(Path::new("/"));
    let coordinator = beside(folder, "flame-coordinator")?;
    let worker = beside(folder, "flame-worker")?;
    let cache = match plan.cache {
        Some(_) => Some(beside(folder, "flame-cache")?),
        None => None,
    };
    let home = home(folder, data)?;
    let coordinators = plan.coordinators.iter().map(|this| Program {
        name: this.id.to_string(),
        path: coordinator.clone(),
        arguments: vec!["--config".to_owned(), coordinator_file(data, this.id).display().to_string()],
        environment: Vec::new(),
        log: log_file(data, &this.id.to_string()),
    });
    let cache = cache.map(|path| Program {
        name: CACHE.to_owned(),
        path,
        arguments: vec!["--config".to_owned(), cache_file(data).display().to_string()],
        environment: Vec::new(),
        log: log_file(data, CACHE),
    });
    let workers = plan.workers.iter().map(|this| Program {
        name: this.name.clone(),
        path: worker.clone(),
        arguments: vec!["--config".to_owned(), worker_file(data, &this.name).display().to_string()],
        environment: vec![("FLAME_HOME".to_owned(), home.clone())],
        log: log_file(data, &this.name),
    });
    Ok(coordinators.chain(cache).chain(workers).collect())
}

/// A program of the same installation.
pub(crate) fn beside(folder: &Path, program: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(program);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(Exit::NotFound, format!("there is no {program} in {}", folder.display()))
        .hint("install it beside flmctl, or build it: cargo build --release"))
}

/// Where workers find the services that ship with Flame: as in an installation, under `bin`.
fn home(folder: &Path, data: &Path) -> Result<PathBuf, Failure> {
    let home = data.join("home");
    let bin = home.join("bin");
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", bin.display()));
    std::fs::create_dir_all(&bin).map_err(failed)?;
    for (program, name) in SERVICES {
        let (service, link) = (beside(folder, program)?, bin.join(name));
        // One of an earlier start may point elsewhere.
        let _absent = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(service, link).map_err(failed)?;
    }
    Ok(home)
}
