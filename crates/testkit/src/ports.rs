//! Leased port numbers.
//!
//! A daemon that is killed must get the same port again when it is restarted, while clients all around are opening
//! connections. So ports are taken from below the range from which the kernel picks the local ports of outgoing
//! connections; a lock file keeps test processes that run at the same time apart.
//!
//! **Invariant:** a number is leased to one process at a time, and was free when it was leased.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FlockOperation, flock};

const FIRST: u16 = 20_000;
/// The kernel's own range begins at 32768.
const LAST: u16 = 32_000;
const TRIES_MAX: usize = 2_000;
/// How many numbers in a row a lease holds.
pub const WIDTH: u16 = 3;

/// Neighbouring ports, held until it is dropped.
#[derive(Debug)]
pub struct PortLease {
    first: u16,
    _locked: File,
}

impl PortLease {
    /// Leases [`WIDTH`] ports in a row that nobody listens on.
    ///
    /// # Errors
    /// If there are none.
    pub fn take() -> Result<Self> {
        let folder = std::env::temp_dir().join("flame-testkit-ports");
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let slots = (LAST - FIRST) / WIDTH;
        // Any start will do; a random one keeps concurrent runs from queueing at the same number.
        let start = (uuid::Uuid::new_v4().as_u128() % u128::from(slots)) as u16;
        for step in 0..slots.min(TRIES_MAX as u16) {
            let first = FIRST + (start + step) % slots * WIDTH;
            let path = folder.join(format!("{first}.lock"));
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.with_context(|| format!("open {}", path.display()))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_free(first) {
                return Ok(Self { first, _locked: file });
            }
        }
        Err(anyhow!("no {WIDTH} free ports in a row between {FIRST} and {LAST}"))
    }

    /// The port at a position below [`WIDTH`].
    ///
    /// # Panics
    /// If the position is not.
    #[must_use]
    pub fn port(&self, position: u16) -> u16 {
        assert!(position < WIDTH, "the lease has {WIDTH} ports");
        self.first + position
    }
}

fn is_free(first: u16) -> bool {
    let listeners: Vec<_> = (first..first + WIDTH).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).collect();
    listeners.iter().all(Result::is_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_leases_never_overlap() {
        let leases: Vec<_> = (0..20).map(|_| PortLease::take().expect("there are free ports")).collect();
        let mut ports: Vec<_> = leases.iter().flat_map(|lease| (0..WIDTH).map(|at| lease.port(at))).collect();
        let count = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), count);
    }

    #[test]
    fn a_leased_port_can_be_bound() {
        let lease = PortLease::take().expect("there are free ports");
        for at in 0..WIDTH {
            TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port(at))).expect("it is free");
        }
    }
}
