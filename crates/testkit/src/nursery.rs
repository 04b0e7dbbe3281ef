//! Starts processes from one thread that lives as long as this process.
//!
//! The parent-death signal is tied to the *thread* that started a child. Test runtimes come and go with their threads,
//! so children are started from here: they die when this process dies, however it dies, and not before.
//!
//! The signal itself is set by `setpriv` of util-linux, which every Debian has; without it children start all the same
//! and dropping their owner still ends them.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a process that dies with this one.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Who asked may have been dropped; then its child is nobody's and must not live.
                if let Err(unheard) = answer.send(command.spawn())
                    && let Ok(mut child) = unheard.0
                {
                    let _ended = child.kill().and_then(|()| child.wait());
                }
            }
        });
        orders
    });
    let (answer, outcome) = channel();
    let ended = || io::Error::other("the thread that starts processes has ended");
    orders.send((command, answer)).map_err(|_| ended())?;
    outcome.recv().map_err(|_| ended())?
}

/// A command for the binary that lets the kernel kill it when this process dies.
pub(crate) fn command(binary: &Path) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if Path::new(SETPRIV).is_file() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
        command
    } else {
        Command::new(binary)
    }
}
