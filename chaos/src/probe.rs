//! What this machine can do. A fault that cannot be installed is skipped with a reason, never counted as survived.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether disks whose power can be cut can be made here, or why not.
///
/// # Errors
/// The reason, for people.
pub fn power_cut() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("mounting loop devices needs root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there are no loop devices (/dev/loop-control is missing)".to_owned());
    }
    for tool in ["mkfs.ext4", "losetup", "mount", "umount", "python3"] {
        if !runs(tool) {
            return Err(format!("the tool {tool} is missing"));
        }
    }
    Ok(())
}

fn runs(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whatever it says to that flag: it is there.
    command.status().is_ok()
}
