//! How a run ends: early, and with its session closed.

use std::future::pending;
use std::time::Duration;

use flame_sdk::{Connection, FlameError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::exit::{Exit, Failure};
use crate::output::note;

/// Resolves when the user or the clock ends the run.
pub(crate) async fn ended_early(timeout: Option<Duration>) -> Failure {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return Failure::failed(format!("cannot wait for signals: {error}")),
    };
    let timeout = async {
        match timeout {
            Some(timeout) => sleep(timeout).await,
            None => pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Failure::new(Exit::Interrupted, "interrupted; the session was closed"),
        _ = terminate.recv() => Failure::new(Exit::Interrupted, "interrupted; the session was closed"),
        () = timeout => Failure::new(Exit::TimedOut, "the tasks did not end in time; the session was closed")
            .hint("`flmctl list -n` shows whether workers are there to run them"),
    }
}

/// Leaves nothing behind. After an early end tasks may still run.
pub(crate) async fn close(program: &str, connection: &Connection, session: &str) {
    let closed = match connection.close_session(session).await {
        Err(FlameError::FailedPrecondition(_)) => connection.force_close_session(session).await,
        result => result.map(|_| ()),
    };
    if let Err(error) = closed {
        note(&format!("{program}: session <{session}> could not be closed: {error}\n"));
    }
}
