//! Where the published clients are, and how to run them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tokio::process::Command;

/// Name the folder of the Python environment with the published package; the first that is set counts.
const VENV_VARIABLES: &[&str] = &["FLAME_CONFORMANCE_VENV", "FLAME_VENV"];

/// Names the target folder of the crate in `rust/`.
const TARGET_VARIABLES: &[&str] = &["FLAME_CONFORMANCE_TARGET_DIR"];

/// The published Python client.
pub struct Python {
    environment: PathBuf,
    interpreter: PathBuf,
    folder: PathBuf,
}

/// The published Rust client, compiled in a workspace of its own.
pub struct Rust {
    binaries: PathBuf,
}

impl Python {
    /// The environment named by `FLAME_CONFORMANCE_VENV` or `FLAME_VENV`, else the one that `make deps` makes.
    ///
    /// # Errors
    /// If it is not there.
    pub fn find() -> Result<Self> {
        let environment = place(VENV_VARIABLES, "venv-flamepy-0.6.0")?;
        let interpreter = environment.join("bin/python");
        installed(&interpreter)?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        Ok(Self { environment, interpreter, folder })
    }

    /// The folder of the environment. Services of a worker that has it as its `VIRTUAL_ENV` find the package there.
    #[must_use]
    pub fn environment(&self) -> &Path {
        &self.environment
    }

    /// The acceptance command of its Runner, as it was published.
    #[must_use]
    pub fn runner_e2e(&self) -> Command {
        Command::new(self.environment.join("bin/flamepy-runner-e2e"))
    }

    /// `python -m suite MODE` against an endpoint.
    #[must_use]
    pub fn suite(&self, mode: &str, endpoint: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.current_dir(&self.folder).args(["-m", "suite", mode, "--endpoint", endpoint, "--service"]);
        command.arg(self.folder.join("echo_service.py"));
        command
    }

    /// `python -m objects` against a cache.
    #[must_use]
    pub fn objects(&self, cache: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.current_dir(&self.folder).args(["-m", "objects", "--cache", cache]);
        command
    }
}

impl Rust {
    /// Below the folder named by `FLAME_CONFORMANCE_TARGET_DIR`, else where `make build-conformance` builds.
    ///
    /// # Errors
    /// If the client is not there.
    pub fn find() -> Result<Self> {
        let binaries = place(TARGET_VARIABLES, "target-conformance")?.join("release");
        for name in ["flame-rs-client", "flame-rs-echo", "flame-rs-typed-echo", "flame-rs-objects"] {
            installed(&binaries.join(name))?;
        }
        Ok(Self { binaries })
    }

    /// `flame-rs-client MODE` against an endpoint.
    #[must_use]
    pub fn suite(&self, mode: &str, endpoint: &str) -> Command {
        let mut command = Command::new(self.binaries.join("flame-rs-client"));
        command.arg("--endpoint").arg(endpoint);
        command.arg("--echo").arg(self.binaries.join("flame-rs-echo"));
        command.arg("--typed-echo").arg(self.binaries.join("flame-rs-typed-echo"));
        command.arg(mode);
        command
    }

    /// `flame-rs-objects`, which finds its cache by the configuration of this home.
    #[must_use]
    pub fn objects(&self, home: &Path) -> Command {
        let mut command = Command::new(self.binaries.join("flame-rs-objects"));
        command.env("HOME", home).env_remove("FLAME_ENDPOINT").env_remove("FLAME_CACHE_ENDPOINT");
        command
    }
}

pub(crate) fn place(variables: &[&str], below_cache: &str) -> Result<PathBuf> {
    if let Some(folder) = variables.iter().find_map(std::env::var_os) {
        return Ok(folder.into());
    }
    let home =
        std::env::var_os("HOME").with_context(|| format!("neither {} nor HOME is set", variables.join(" nor ")))?;
    Ok(Path::new(&home).join(".cache/flame-ha").join(below_cache))
}

pub(crate) fn installed(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    Err(anyhow!("{} is missing; `make deps build-conformance` installs the published clients", path.display()))
}
