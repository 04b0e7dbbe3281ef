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

/// Whether networks of their own can be made here, or why not.
///
/// # Errors
/// The reason, for people.
pub fn namespaces() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("network namespaces need root".to_owned());
    }
    if !runs("ip") {
        return Err("the tool ip (iproute2) is missing".to_owned());
    }
    let trial = format!("flame-trial-{}", std::process::id());
    let ip = |verb: &str| {
        let mut command = Command::new("ip");
        command.args(["netns", verb, &trial]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if ip("add") && ip("delete") { Ok(()) } else { Err("network namespaces cannot be made here".to_owned()) }
}

/// Whether a debugger can stop processes here at a system call, or why not.
///
/// # Errors
/// The reason, for people.
pub fn debugger() -> Result<(), String> {
    let mut trial = Command::new("strace");
    trial.args(["--quiet=all", "-e", "trace=none", "true"]);
    match trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("strace may not watch processes here".to_owned()),
        Err(_) => Err("the tool strace is missing".to_owned()),
    }
}

fn runs(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Whatever it says to that flag: it is there.
    command.status().is_ok()
}
