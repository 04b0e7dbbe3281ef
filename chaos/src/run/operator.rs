//! What an operator types, while a run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flame_jepsen::{Acknowledgement, Nonce, ToldResult};
use flame_testkit::{Binaries, Cluster, wait_until};
use flame_types::TaskNo;
use serde_json::Value;
use tokio::process::Command;

use crate::run::ledger::Ledger;
use crate::run::load::Load;
use crate::run::setup::{Run, connections};

/// For everything that was submitted to end.
const REST_LIMIT: Duration = Duration::from_secs(180);

/// What clients had been promised at a moment.
#[derive(Clone, Debug, Default)]
pub struct Promised {
    /// Tasks that exist.
    pub acknowledged: Vec<Acknowledgement>,
    /// Tasks that have ended.
    pub told: Vec<ToldResult>,
}

impl Promised {
    /// By now.
    #[must_use]
    pub fn now(ledger: &Ledger) -> Self {
        // In this order: whatever is told of was acknowledged before.
        let told = ledger.told_results();
        Self { acknowledged: ledger.acknowledgements(), told }
    }

    /// The tasks that were told of as ended.
    #[must_use]
    pub fn ended(&self) -> BTreeSet<Nonce> {
        let nonces: BTreeMap<TaskNo, &Nonce> = self.acknowledged.iter().map(|ack| (ack.task, &ack.nonce)).collect();
        self.told.iter().filter_map(|told| nonces.get(&told.task).map(|nonce| (*nonce).clone())).collect()
    }
}

/// `flmctl` with these words, told of all members; it must succeed. Gives what it says, as JSON.
///
/// # Errors
/// If it does not succeed.
pub async fn flmctl(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    let endpoints = cluster.endpoints().join(",");
    let mut command = Command::new(Binaries::find()?.path("flmctl")?);
    // Whoever runs this may have a cluster of their own.
    command.args(words).args(["-o", "json"]).env("FLAME_ENDPOINT", endpoints).env("HOME", "/nonexistent");
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "flmctl {} ended with {}:\n{said}", words.join(" "), ended.status);
    serde_json::from_slice(&ended.stdout).with_context(|| format!("what it said is no JSON:\n{said}"))
}

impl Run {
    /// Waits until no task of the session is left to be done, and every lost answer is resolved.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn rests(&self) -> Result<()> {
        let any = self.any()?;
        wait_until(REST_LIMIT, "no task is left to be done", || async {
            self.load.resolve().await?;
            let status = any.get_session(&self.session).await?.status;
            let unresolved = self.ledger.tally().unresolved;
            ensure!((status.pending, status.running, unresolved) == (0, 0, 0), "{status:?}, {unresolved} unresolved");
            Ok(())
        })
        .await
    }

    /// The same session on another cluster, which was made from a backup of this one's: clients that know nothing of what
    /// was promised here. The services write to the same log; this run must live as long.
    ///
    /// # Errors
    /// If the clients cannot be made.
    pub fn continued_on(&self, cluster: Cluster, window: usize) -> Result<Self> {
        let connections = connections(&cluster)?;
        let ledger = Arc::new(Ledger::default());
        let clients: Vec<_> = connections.values().cloned().collect();
        let load = Load::new(&self.session, &clients, window, ledger.clone());
        let (session, executions) = (self.session.clone(), self.executions.clone());
        Ok(Self { cluster, load, ledger, session, connections, executions })
    }
}
