//! Submits that only ask whether somebody acknowledges them.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use flame_sdk::{Connection, SessionOptions};
use futures::future::join_all;

use crate::run::setup::{APPLICATION, Run};

/// A session that runs nothing: what is submitted there is no part of the evidence.
pub struct Probe {
    session: String,
    connections: Vec<Connection>,
}

impl Run {
    /// Opens the session of a probe.
    ///
    /// # Errors
    /// If that is refused.
    pub async fn probe(&self) -> Result<Probe> {
        let connections: Vec<_> = self.connections.values().cloned().collect();
        let any = connections.first().context("the cluster has no coordinator")?;
        let session =
            any.create_session(&SessionOptions::new(APPLICATION)).await.context("open the probe's session")?;
        let session = session.metadata.id;
        any.suspend_session(&session).await.context("suspend the probe's session")?;
        Ok(Probe { session, connections })
    }
}

impl Probe {
    /// Submits one task through each node at the same time, and counts how many are acknowledged before the time is over.
    pub async fn acknowledged(&self, limit: Duration) -> usize {
        let submit = |connection: &Connection| {
            let (connection, session) = (connection.clone(), self.session.clone());
            async move {
                let input = Some(Bytes::from_static(b"probe"));
                matches!(tokio::time::timeout(limit, connection.create_task(&session, input)).await, Ok(Ok(_)))
            }
        };
        join_all(self.connections.iter().map(submit)).await.into_iter().filter(|is_done| *is_done).count()
    }
}
