//! One program that is run and must succeed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `cargo` with these words in the root of the workspace, showing its output.
pub(crate) fn cargo(root: &Path, words: &[&str]) -> Result<()> {
    let shown = format!("cargo {}", words.join(" "));
    eprintln!("xtask: {shown}");
    let status = command(root, words).status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a program and returns what it prints.
pub(crate) fn output_of(root: &Path, program: &str, words: &[&str]) -> Result<String> {
    let shown = format!("{program} {}", words.join(" "));
    let output = Command::new(program)
        .args(words)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not text"))
}

/// Whether `cargo WORD --version` works: whether that extension is installed.
pub(crate) fn has_extension(root: &Path, word: &str) -> bool {
    let status = command(root, &[word, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn command(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(words).current_dir(root);
    command
}
