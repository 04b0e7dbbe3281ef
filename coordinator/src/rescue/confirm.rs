//! A yes that nobody gives by accident.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;

use crate::exit::Exit;

/// Whether whoever sits at the terminal types the name of the cluster.
pub(super) fn confirmed(cluster_id: &str) -> Result<(), Exit> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Exit::Usage("nothing was done: give --yes if this is what you want".to_owned()));
    }
    let mut stderr = std::io::stderr().lock();
    let asked = write!(stderr, "Type the name of the cluster to go on: ").and_then(|()| stderr.flush());
    asked.context("cannot ask on standard error")?;
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed).context("cannot read from the terminal")?;
    if typed.trim() == cluster_id { Ok(()) } else { Err(Exit::Usage("nothing was done".to_owned())) }
}
