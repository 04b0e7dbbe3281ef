//! Steady load in the background, for as long as a scenario takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

use crate::run::load::Load;
use crate::run::workload::Item;

/// Clients that submit one task after the other, whatever happens, until they are told to stop.
pub struct Traffic {
    stopped: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
    submitting: JoinHandle<Result<()>>,
}

impl Traffic {
    /// Begins. `every` is the time between two submits; `takes` says how long the task of each number runs.
    #[must_use]
    pub fn start(load: &Load, prefix: &str, every: Duration, takes: fn(u64) -> Duration) -> Self {
        let (stopped, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_over, count) = (Arc::clone(&stopped), Arc::clone(&taken));
        let prefix = prefix.to_owned();
        let numbers = (1..).take_while(move |_| !is_over.load(Ordering::Relaxed));
        let items = numbers.map(move |number| {
            count.store(number, Ordering::Relaxed);
            Item::new(&prefix, number, takes(number))
        });
        let load = load.clone();
        let submitting = tokio::spawn(async move { load.submit_items(items, every).await });
        Self { stopped, taken, submitting }
    }

    /// Ends, and says how many tasks were submitted: each is acknowledged, or its answer was lost.
    ///
    /// # Errors
    /// If a submit was refused.
    pub async fn stop(mut self) -> Result<u64> {
        self.stopped.store(true, Ordering::Relaxed);
        (&mut self.submitting).await.context("the submitting task broke")??;
        Ok(self.taken.load(Ordering::Relaxed))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.submitting.abort();
    }
}
