//! Why an application is not installed here. Each is a bind failure, told to the sessions that wait for the executor.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::python::version::Version;

/// Why an application is not installed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("the installer {0:?} is not known to this worker; write python or binary")]
    Unknown(String),
    #[error("the application cannot be installed: {0}")]
    Name(String),
    #[error("the url {url:?} of the application {why}")]
    Url { url: String, why: String },
    #[error("FLAME_PYTHON_VERSION of the application is {0:?}; write it like 3.12")]
    Version(String),
    #[error("cannot fetch the package {url}: {why}")]
    Fetch { url: String, why: String },
    #[error("the package {url} has the sha256 {found}, and the url of the application asks for {expected}")]
    Checksum { url: String, found: String, expected: String },
    #[error("cannot unpack the package {url}: {why}")]
    Unpack { url: String, why: String },
    #[error("the package {url} cannot be installed: {why}")]
    Project { url: String, why: String },
    #[error(
        "there is neither Python {0} nor uv on this worker; install one of them, or name the interpreter with \
         worker.python"
    )]
    NoPython(Version),
    #[error("there is no Python on this worker; install it, or name the interpreter with worker.python")]
    NoPythonAtAll,
    #[error("{command} {how}; flmctl logs install {application} shows all of what it wrote, which ends with:\n{tail}")]
    Tool { command: String, how: String, application: String, tail: String },
    #[error("the installation did not end within {0:?} (worker.install_timeout)")]
    TimedOut(Duration),
    #[error("cannot use {path}: {why}")]
    Disk { path: String, why: String },
    #[error("the installation broke off: {0}")]
    Broken(String),
}

/// What the file system says about a path.
pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.display().to_string();
    move |error| InstallError::Disk { path, why: error.to_string() }
}
