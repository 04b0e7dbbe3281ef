//! Facts about the machine, and how busy it is.

use anyhow::{Context, Result};
use serde::Serialize;

/// The machine a report was made on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Processors that may be used.
    pub cores: usize,
    /// Their model.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// Memory.
    pub memory_mb: u64,
    /// How long the kernel of a virtual machine looks for work before it gives an idle processor back to the host, which
    /// decides what waking one costs; `None` where nothing decides that.
    pub guest_halt_poll_ns: Option<u64>,
    /// Load averages of 1, 5 and 15 minutes before the first workload.
    pub load_before: Vec<f64>,
}

impl Machine {
    /// This machine, now.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn read() -> Result<Self> {
        let cores = std::thread::available_parallelism().context("how many processors are there?")?.get();
        let kernel = read("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let memory_mb = value_of(&read("/proc/meminfo")?, "MemTotal")
            .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib / 1024);
        let cpu = value_of(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".to_owned());
        let load_before = load()?;
        Ok(Self { cores, cpu, kernel, memory_mb, guest_halt_poll_ns: guest_halt_poll_ns(), load_before })
    }
}

fn guest_halt_poll_ns() -> Option<u64> {
    // A machine that is not virtual, or has another way to idle, has no such file.
    std::fs::read_to_string("/sys/module/haltpoll/parameters/guest_halt_poll_ns").ok()?.trim().parse().ok()
}

/// The load averages.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn load() -> Result<Vec<f64>> {
    let text = read("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect())
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {path}"))
}

/// The value of the first line `key : value`.
fn value_of(text: &str, key: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.into_iter().find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_key() {
        let text = "processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n";
        assert_eq!(value_of(text, "model name").as_deref(), Some("A: B"));
        assert_eq!(value_of(text, "flags"), None);
    }

    #[test]
    fn this_machine_has_processors_and_a_kernel() {
        let machine = Machine::read().expect("Linux has /proc");
        assert!(machine.cores > 0 && machine.memory_mb > 0 && !machine.kernel.is_empty());
        assert_eq!(machine.load_before.len(), 3);
    }
}
