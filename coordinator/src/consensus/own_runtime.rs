//! The runtime of consensus: one thread, which runs Raft's core, the tasks around it and the peer network.
//!
//! One, because the library's core is one task, and waking a second thread for each step around it costs more than it
//! brings. Of the kind that lives on one thread: a scheduler made for several looks for work elsewhere, and can be robbed
//! of its own, which is paid for with every one of the many short sleeps of a node with little to do.

use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::error::StartError;

/// Ends with the last handle, without waiting: a runtime must not be waited for from async code.
pub(super) struct OwnRuntime {
    pub(super) handle: Handle,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Ends the runtime when it is dropped.
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl OwnRuntime {
    /// Starts the thread. What still runs in the background when it is told to end has `end_max` for it.
    pub(super) fn start(end_max: Duration) -> Result<Self, StartError> {
        let failed = |source| StartError::Io { what: "cannot start the runtime of consensus", source };
        let runtime = Builder::new_current_thread().enable_all().thread_name("consensus").build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Both an order and a handle that is gone mean the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_timeout(end_max);
        };
        let thread = std::thread::Builder::new().name("consensus".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { handle, running: Mutex::new(Some(Running { end, thread })) })
    }

    /// Ends all that runs on it and waits for that. Blocks; a second call returns at once.
    pub(super) fn stop(&self) {
        let running = self.running.lock().ok().and_then(|mut running| running.take());
        let Some(Running { end, thread }) = running else { return };
        drop(end);
        if thread.join().is_err() {
            tracing::warn!("the runtime of consensus did not end cleanly");
        }
    }
}
