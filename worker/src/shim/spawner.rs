//! The one thread that starts processes.
//!
//! The signal that kills a service with its worker is tied to the *thread* that started it, so that thread must live as
//! long as the worker: a thread of the runtime may end at any time.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Handle to the thread. The thread, and with it every process it started, ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. Must be called inside a runtime: its processes are waited for there.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let runtime = Handle::current();
        thread::Builder::new().name("flame-spawner".into()).spawn(move || {
            let _inside = runtime.enter();
            while let Ok(mut order) = inbox.recv() {
                // Whoever asked may have been told to stop meanwhile: the child is then killed as it is dropped.
                let _ = order.answer.send(order.command.kill_on_drop(true).spawn());
            }
        })?;
        Ok(Self { orders })
    }

    /// Starts a process.
    ///
    /// # Errors
    /// As [`Command::spawn`]; also when the thread is gone, which only the end of the process brings about.
    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.send(Order { command, answer }).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}
