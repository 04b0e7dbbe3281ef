//! What a supervisor knows of its daemons.

use serde::{Deserialize, Serialize};

use crate::render::{Grid, Render, Sheet};

/// `flmctl dev status`; also the file `status.json` in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevStatus {
    /// The supervisor's process.
    pub pid: u32,
    /// The data folder.
    pub data: String,
    /// Where clients reach the cluster.
    pub endpoints: Vec<String>,
    /// Where clients reach the object cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_endpoint: Option<String>,
    /// Whether all daemons have come up since the start.
    pub ready: bool,
    /// Coordinators, the object cache, then workers.
    pub daemons: Vec<DaemonState>,
}

/// One daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonState {
    /// 1, 2, 3 … for coordinators; cache; w1, w2 … for workers.
    pub name: String,
    /// coordinator, cache or worker.
    pub kind: String,
    /// Its process, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How it ended, if it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Where clients reach it (coordinators, cache).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What it said on stderr.
    pub log: String,
}

impl DevStatus {
    /// What a shell is told, in lines, so that clients find the cluster and its cache.
    #[must_use]
    pub fn export(&self) -> String {
        let cluster = format!("export FLAME_ENDPOINT={}", self.endpoints.join(","));
        let cache = self.cache_endpoint.as_ref().map(|endpoint| format!("export FLAME_CACHE_ENDPOINT={endpoint}"));
        std::iter::once(cluster).chain(cache).collect::<Vec<_>>().join("\n")
    }
}

impl Render for DevStatus {
    fn sheet(&self) -> Sheet {
        let mut grid = Grid::new(&["Name", "Kind", "State", "PID", "Endpoint", "Log"]);
        for daemon in &self.daemons {
            let state = match (&daemon.pid, &daemon.ended) {
                (Some(_), _) => "Running".to_owned(),
                (None, Some(how)) => how.clone(),
                (None, None) => "-".to_owned(),
            };
            grid.row(vec![
                daemon.name.clone(),
                daemon.kind.clone(),
                state,
                daemon.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                daemon.endpoint.clone().unwrap_or_else(|| "-".to_owned()),
                daemon.log.clone(),
            ]);
        }
        let text = format!(
            "\n Data: {}\n Next: {}\n       flmctl list -n\n       flmping -t 1000\n",
            self.data,
            self.export().replace('\n', "\n       ")
        );
        Sheet { grid: Some(grid), text }
    }
}
