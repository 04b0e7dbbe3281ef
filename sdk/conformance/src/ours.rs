//! Our own `flamepy`: the wheel as it would be published, in an environment without any other.
//!
//! **Invariant:** what runs is the wheel that the build backend makes of this checkout, not the checkout itself: a module that
//! the wheel lacks is missed here, not by its first user.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::clients::{installed, place};

/// Name the folder of the environment with everything that our package stands on; the first that is set counts.
const VENV_VARIABLES: &[&str] = &["FLAME_PYTHON_VENV"];

/// Says where packages of an environment are.
const WHERE: &str = "import sysconfig; print(sysconfig.get_path('purelib'))";

/// An environment with our package.
pub struct Flamepy {
    folder: TempDir,
}

impl Flamepy {
    /// Builds the wheel of this checkout and installs it into an environment of its own, beside what it stands on. No network
    /// is used.
    ///
    /// # Errors
    /// If what it stands on is not installed, or the wheel cannot be built.
    pub async fn install() -> Result<Self> {
        let base = place(VENV_VARIABLES, "venv-python")?.join("bin/python");
        installed(&base)?;
        let folder = tempfile::Builder::new().prefix("flamepy-").tempdir().context("a folder for the environment")?;
        let this = Self { folder };
        done(Command::new(&base).args(["-m", "venv", "--without-pip"]).arg(this.folder.path())).await?;
        let packages = done(Command::new(&base).args(["-c", WHERE])).await?;
        let site = done(this.python().args(["-c", WHERE])).await?;
        std::fs::write(Path::new(site.trim()).join("base.pth"), packages)?;
        let mut install = Command::new(&base);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-index"]);
        install.args(["--no-deps", "--no-build-isolation", "--target", site.trim()]).arg(sources());
        done(&mut install).await?;
        Ok(this)
    }

    /// Where the interpreter is.
    #[must_use]
    pub fn interpreter(&self) -> PathBuf {
        self.folder.path().join("bin/python")
    }

    /// The interpreter, with our package and nothing published.
    #[must_use]
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.interpreter());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// The same checks as for the published package.
    #[must_use]
    pub fn suite(&self, mode: &str, endpoint: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut command = self.python();
        command.current_dir(&folder).args(["-m", "suite", mode, "--any-version", "--endpoint", endpoint, "--service"]);
        command.arg(folder.join("echo_service.py"));
        command
    }

    /// The interpreter where the sources of the package are.
    #[must_use]
    pub fn in_sources(&self) -> Command {
        let mut command = self.python();
        command.current_dir(sources());
        command
    }

    /// Its own tests below this folder.
    #[must_use]
    pub fn pytest(&self, folder: &str) -> Command {
        let mut command = self.in_sources();
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", folder]);
        command
    }
}

/// The sources of our package.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python")
}

/// Runs a command to its good end, and gives what it printed.
async fn done(command: &mut Command) -> Result<String> {
    let ended = command.kill_on_drop(true).output().await.with_context(|| format!("start {command:?}"))?;
    ensure!(ended.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&ended.stderr));
    Ok(String::from_utf8(ended.stdout)?)
}
