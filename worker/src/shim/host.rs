//! The published process protocol: which command is run in which folder, with which environment.
//!
//! **Invariant:** nothing is written into a folder of the user: scratch space lies in the worker's own work folder, also
//! when the application names a working directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flame_proto::ha;
use flame_types::{ExecutorKey, Shim};
use rustix::fs::{FlockOperation, flock};

use super::expand::expand;
use super::logs::Logs;
use super::spawner::Spawner;
use super::{leftovers, record::Record};
use crate::installer::tools::Tools;
use crate::installer::{Coordinators, InstallError, Installed, Installer};
use crate::instance::Sockets;
use crate::options::{Folders, Limits, ServiceOptions};

/// Tells a service where to listen: a plain path.
pub(crate) const SOCKET_VARIABLE: &str = "FLAME_INSTANCE_ENDPOINT";

/// Tells a service where it may listen instead, if it knows the frames of our stream without gRPC: a plain path, too.
const FRAMES_VARIABLE: &str = "FLAME_FRAMES_ENDPOINT";

/// Longest path of a unix socket, without the closing zero (a limit of the kernel).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Longest name of a socket file: the largest executor key, the largest process id, `.frames`.
const SOCKET_NAME_BYTES_MAX: usize = 38;

/// Never handed on: a service that has it writes objects past the cache (published rule).
const NOT_FOR_SERVICES: &str = "FLAME_CACHE_STORAGE";

/// Log filter of services when the worker itself has none.
const LOG_FILTER_DEFAULT: &str = "info";

/// Why a host cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The file system says no.
    #[error("cannot use {path}: {error}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another worker lives there.
    #[error("the work folder {0} belongs to a running worker; give each its own with --work-dir")]
    InUse(PathBuf),
    /// The kernel could not bind sockets there.
    #[error("the socket folder {0} has too long a path; give a shorter one with --socket-dir")]
    SocketPath(PathBuf),
    /// No thread for processes.
    #[error("cannot start the thread that starts services: {0}")]
    Thread(io::Error),
}

/// Why a service cannot be started. Each is a bind failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("this worker runs only applications of shim Host, not {0}")]
    Shim(String),
    #[error("the application has no command")]
    NoCommand,
    #[error("the environment of the application has a variable named {0:?}")]
    Variable(String),
    #[error("the working directory {0:?} of the application is not a folder on this worker")]
    WorkingDirectory(String),
    #[error("cannot prepare {0}: {1}")]
    Folder(PathBuf, io::Error),
    #[error("cannot start {0:?}: {1}")]
    Spawn(String, io::Error),
}

impl LaunchError {
    /// The published return code of this bind failure.
    pub(crate) fn return_code(&self) -> i32 {
        match self {
            Self::Install(_) => crate::executor::BIND_INSTALLATION,
            _ => crate::executor::BIND_SHIM,
        }
    }
}

/// What all executors of a worker share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) limits: Limits,
    pub(crate) logs: Logs,
    pub(crate) spawner: Spawner,
    pub(crate) boot_id: String,
    pub(crate) program: PathBuf,
    pub(crate) installer: Installer,
    folders: Folders,
    services: ServiceOptions,
    /// The environment of the worker, as far as it is text.
    environment: BTreeMap<String, String>,
    /// Held locked as long as the worker lives.
    _lock: File,
}

/// A service that is ready to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
    /// Beside what the worker's environment holds.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) sockets: Sockets,
    pub(crate) record: PathBuf,
}

impl Host {
    /// Takes the folders, kills what a predecessor left in them, and starts the thread for processes.
    ///
    /// # Errors
    /// [`HostError`] says what to change.
    pub(crate) async fn open(options: &crate::Options, boot_id: String) -> Result<Self, HostError> {
        let folders = absolute(&options.folders)?;
        if folders.sockets.as_os_str().len() + 1 + SOCKET_NAME_BYTES_MAX > SOCKET_PATH_BYTES_MAX {
            return Err(HostError::SocketPath(folders.sockets));
        }
        for folder in [&folders.work, &folders.sockets, &records_of(&folders), &scratch_of(&folders)] {
            fs::create_dir_all(folder).map_err(io_error(folder))?;
        }
        let lock = lock(&folders.work)?;
        let records = records_of(&folders);
        let killed = leftovers::clear(&records, &boot_id).await.map_err(io_error(&records))?;
        if killed > 0 {
            tracing::info!(processes = killed, "killed what the previous worker left");
        }
        let scratch = scratch_of(&folders);
        fs::remove_dir_all(&scratch).and_then(|()| fs::create_dir(&scratch)).map_err(io_error(&scratch))?;
        let environment: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let spawner = Spawner::start().map_err(HostError::Thread)?;
        let tools = Tools::new(spawner.clone(), &options.program);
        let coordinators = Coordinators::new(&options.coordinators, options.tls.clone());
        Ok(Self {
            limits: options.limits,
            logs: Logs::open(&folders.logs, options.limits.logs_kept).map_err(io_error(&folders.logs))?,
            spawner,
            installer: Installer::new(options.packages.clone(), coordinators, tools, &environment),
            boot_id,
            program: options.program.clone(),
            folders,
            services: options.services.clone(),
            environment,
            _lock: lock,
        })
    }

    /// Works out how to start a service, and makes its folders.
    ///
    /// # Errors
    /// [`LaunchError`] when this application cannot run here.
    pub(crate) fn prepare(
        &self,
        executor: ExecutorKey,
        application: &ha::Application,
        installed: &Installed,
    ) -> Result<Launch, LaunchError> {
        if application.shim != Shim::Host.number() {
            let shim = Shim::from_number(application.shim);
            return Err(LaunchError::Shim(shim.map_or_else(|| application.shim.to_string(), |shim| shim.to_string())));
        }
        // Workers of several clusters may share the folder, and their executors have the same keys.
        let socket = self.folders.sockets.join(format!("{executor}.{}.sock", std::process::id()));
        let sockets = Sockets { frames: frames_socket(&socket), grpc: socket };
        for socket in [&sockets.grpc, &sockets.frames] {
            remove_file(socket).map_err(|error| LaunchError::Folder(socket.clone(), error))?;
        }
        let scratch = scratch_of(&self.folders).join(executor.to_string());
        let temporary = scratch.join("tmp");
        fs::create_dir_all(&temporary).map_err(|error| LaunchError::Folder(temporary.clone(), error))?;
        let directory = match application.working_directory.as_deref().filter(|path| !path.is_empty()) {
            None => scratch,
            Some(path) if Path::new(path).is_absolute() && Path::new(path).is_dir() => PathBuf::from(path),
            Some(path) => return Err(LaunchError::WorkingDirectory(path.to_owned())),
        };
        let mut environment = self.environment_of(application, &sockets, &temporary)?;
        installed.apply(&mut environment, &self.environment);
        let lookup = |name: &str| environment.get(name).or_else(|| self.environment.get(name)).cloned();
        let command = expand(application.command.as_deref().unwrap_or_default(), lookup);
        if command.trim().is_empty() {
            return Err(LaunchError::NoCommand);
        }
        let arguments = application.arguments.iter().map(|argument| expand(argument, lookup)).collect();
        let record = Record::path(&records_of(&self.folders), executor);
        Ok(Launch { command, arguments, environment, directory, sockets, record })
    }

    /// Removes what belongs to an executor that has ended; its logs stay.
    pub(crate) fn on_ended(&self, executor: ExecutorKey) {
        let scratch = scratch_of(&self.folders).join(executor.to_string());
        let removed = fs::remove_dir_all(&scratch).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        if let Err(error) = removed {
            tracing::warn!(folder = %scratch.display(), %error, "cannot remove the folder of an executor");
        }
        self.logs.on_ended(executor);
    }

    /// What a service finds in its environment beside the worker's own: the application's variables first, then ours.
    fn environment_of(
        &self,
        application: &ha::Application,
        sockets: &Sockets,
        temporary: &Path,
    ) -> Result<BTreeMap<String, String>, LaunchError> {
        let mut set = BTreeMap::new();
        for (name, value) in &application.environments {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(LaunchError::Variable(name.chars().take(64).collect()));
            }
            set.insert(name.clone(), expand(value, |name| self.environment.get(name).cloned()));
        }
        let filter = self.environment.get("RUST_LOG").map_or(LOG_FILTER_DEFAULT, String::as_str);
        for name in ["RUST_LOG", "FLAME_LOG"] {
            set.entry(name.into()).or_insert_with(|| filter.into());
        }
        for name in ["TMPDIR", "TEMP", "TMP"] {
            if !self.environment.contains_key(name) {
                set.entry(name.into()).or_insert_with(|| temporary.display().to_string());
            }
        }
        set.insert(SOCKET_VARIABLE.into(), sockets.grpc.display().to_string());
        set.insert(FRAMES_VARIABLE.into(), sockets.frames.display().to_string());
        let ours = [
            ("FLAME_ENDPOINT", self.services.endpoint.clone()),
            ("FLAME_CACHE_ENDPOINT", self.services.cache_endpoint.clone()),
            ("FLAME_CA_FILE", self.services.ca_file.as_ref().map(|path| path.display().to_string())),
        ];
        set.extend(ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(set)
    }
}

/// The variable of the worker that a service does not inherit, unless its application sets it.
pub(crate) fn held_back(set: &BTreeMap<String, String>) -> Option<&'static str> {
    (!set.contains_key(NOT_FOR_SERVICES)).then_some(NOT_FOR_SERVICES)
}

/// The socket for frames that belongs to a published one.
pub(crate) fn frames_socket(published: &Path) -> PathBuf {
    published.with_extension("frames")
}

/// Removes a file that may not be there.
pub(crate) fn remove_file(file: &Path) -> io::Result<()> {
    fs::remove_file(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn absolute(folders: &Folders) -> Result<Folders, HostError> {
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(io_error(path));
    Ok(Folders { work: absolute(&folders.work)?, sockets: absolute(&folders.sockets)?, logs: absolute(&folders.logs)? })
}

fn lock(work: &Path) -> Result<File, HostError> {
    let path = work.join("lock");
    let file = File::create(&path).map_err(io_error(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(HostError::InUse(work.to_owned())),
        Err(error) => Err(HostError::Io { path, error: error.into() }),
    }
}

fn records_of(folders: &Folders) -> PathBuf {
    folders.work.join("run")
}

fn scratch_of(folders: &Folders) -> PathBuf {
    folders.work.join("executors")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |error| HostError::Io { path, error }
}
