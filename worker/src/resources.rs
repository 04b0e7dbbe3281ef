//! What this worker has to give, as far as it can find out. A configured amount replaces all of it.

use flame_types::Resources;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Names the graphics processors that this process may use: a list, with `-1` or nothing for none.
const GPU_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

/// Processors that this process may use (its cgroup and affinity count), memory (the container's limit counts), and
/// graphics processors as the environment names them.
///
/// # Errors
/// A sentence, when the system does not say.
pub(crate) fn detect(environment: impl Fn(&str) -> Option<String>) -> Result<Resources, String> {
    let cpu = std::thread::available_parallelism().map_err(|error| error.to_string())?.get() as u64;
    let memory = memory().map_err(|error| error.to_string())?;
    Ok(Resources { cpu, memory, gpu: gpus(environment(GPU_VARIABLE).as_deref()) })
}

fn memory() -> Result<u64, sysinfo::Error> {
    let facts = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(facts)?;
    let total = system.total_memory();
    Ok(match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => total.min(limits.total_memory),
        _ => total,
    })
}

fn gpus(visible: Option<&str>) -> u32 {
    let devices = visible.unwrap_or_default().split(',').map(str::trim).filter(|device| !device.is_empty());
    // As the CUDA runtime has it: everything from the first invalid device on is invisible.
    let usable = devices.take_while(|device| !device.starts_with('-')).count();
    u32::try_from(usable).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_devices_are_counted() {
        for (text, count) in [(None, 0), (Some(""), 0), (Some("-1"), 0), (Some("0"), 1), (Some("0, 2,GPU-8932"), 3)] {
            assert_eq!(gpus(text), count, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_something() {
        let found = detect(|_| None).unwrap();
        assert!(found.cpu >= 1 && found.memory > 1 << 20 && found.gpu == 0, "{found}");
    }
}
