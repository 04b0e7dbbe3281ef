//! The echo service, on our own SDK: what a worker starts to run the tasks of most workloads.

use anyhow::Result;
use bytes::Bytes;
use flame_sdk::service::TaskContext;
use flame_sdk::{FlameError, FlameService, async_trait};

struct Echo;

#[async_trait]
impl FlameService for Echo {
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        Ok(context.input)
    }
}

/// Serves tasks until the worker ends this process.
///
/// # Errors
/// If this process was not started by a worker.
pub async fn run() -> Result<()> {
    Ok(flame_sdk::service::run(Echo).await?)
}
