//! The service that is a client itself: a task of it runs tasks of another application, on the cluster that its worker
//! has named, and on no other endpoint.
//!
//! A task's input is `APPLICATION COUNT`. Half of that many tasks go over one stream, the others are submitted one by one
//! and watched. The answer is how many of them came back as they were sent.

use anyhow::{Context, Result};
use bytes::Bytes;
use flame_sdk::service::TaskContext;
use flame_sdk::types::TaskNo;
use flame_sdk::{Connection, Endpoints, FlameError, FlameService, Options, SessionOptions, async_trait};
use futures::TryStreamExt;

/// Where the worker says that the cluster is.
const ENDPOINT_VARIABLE: &str = "FLAME_ENDPOINT";

struct Nested {
    connection: Connection,
}

/// Serves tasks until the worker ends this process.
///
/// # Errors
/// If this process was not started by a worker.
pub async fn run() -> Result<()> {
    let endpoint = std::env::var(ENDPOINT_VARIABLE).with_context(|| format!("{ENDPOINT_VARIABLE} is not set"))?;
    let connection = Connection::open(Endpoints::parse(&[endpoint])?, Options::default())?;
    Ok(flame_sdk::service::run(Nested { connection }).await?)
}

#[async_trait]
impl FlameService for Nested {
    async fn on_task_invoke(&self, context: TaskContext) -> Result<Option<Bytes>, FlameError> {
        let input = context.input.unwrap_or_default();
        let order = std::str::from_utf8(&input).ok().and_then(|text| text.split_once(' '));
        let order = order.and_then(|(application, count)| Some((application, count.parse::<u64>().ok()?)));
        let (application, count) =
            order.ok_or_else(|| FlameError::InvalidArgument("the input is not `APPLICATION COUNT`".to_owned()))?;
        let session = self.connection.create_session(&SessionOptions::new(application)).await?.metadata.id;
        let over_stream = self.over_stream(&session, count / 2).await?;
        let one_by_one = self.one_by_one(&session, count - count / 2).await?;
        self.connection.close_session(&session).await?;
        Ok(Some(Bytes::from((over_stream + one_by_one).to_string())))
    }
}

impl Nested {
    async fn over_stream(&self, session: &str, count: u64) -> Result<u64, FlameError> {
        let stream = self.connection.open_stream(session).await?;
        let mut submitted = Vec::new();
        for number in 0..count {
            submitted.push((number, stream.submit(Some(input(number))).await?));
        }
        let mut back = 0;
        for (number, task) in submitted {
            back += u64::from(task.result().await?.output == Some(input(number)));
        }
        stream.close().await?;
        Ok(back)
    }

    async fn one_by_one(&self, session: &str, count: u64) -> Result<u64, FlameError> {
        let mut back = 0;
        for number in 0..count {
            let task = self.connection.create_task(session, Some(input(number))).await?.number()?;
            let (watcher, mut updates) = self.connection.watch_tasks(session);
            watcher.add(task).await?;
            drop(watcher);
            while updates.try_next().await?.is_some() {}
            back += u64::from(self.output(session, task).await? == Some(input(number)));
        }
        Ok(back)
    }

    async fn output(&self, session: &str, task: TaskNo) -> Result<Option<Bytes>, FlameError> {
        Ok(self.connection.get_task(session, task).await?.spec.output)
    }
}

fn input(number: u64) -> Bytes {
    Bytes::from(format!("nested-{number}"))
}

/// The input of a task that runs so many tasks of this application.
#[must_use]
pub fn order(application: &str, count: u64) -> Bytes {
    Bytes::from(format!("{application} {count}"))
}
