//! The whole way: from an application to what its service finds.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use flame_proto::ha;
use flame_types::AppName;

use super::archive;
use super::environment::{Installed, Python, variant};
use super::error::{InstallError, disk};
use super::fetch::{Coordinators, Fetched, Fingerprint, Sources};
use super::log::{self, InstallLog, Shown};
use super::plan::{Kind, Plan};
use super::python::install::{Job, SRC, library_folders};
use super::python::version::Version;
use super::python::{Interpreter, Interpreters};
use super::release::{Home, Record, Release, Source, collect, sha256_of};
use super::tools::Tools;
use super::url::PackageUrl;
use crate::options::PackageOptions;
use crate::shim::host::remove_file;

/// How much larger than its archive's limit an unpacked package may be.
const UNPACKED_FACTOR: u64 = 8;

/// Installs applications. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Installer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: PackageOptions,
    sources: Sources,
    tools: Tools,
    interpreters: Interpreters,
    /// `FLAME_HOME` of the worker.
    home: Option<PathBuf>,
    /// One at a time of each application: the others wait here, and not for the lock on disk.
    turns: Mutex<HashMap<AppName, Arc<tokio::sync::Mutex<()>>>>,
}

/// Which Python a service gets.
struct Chosen {
    version: Version,
    interpreter: Option<Interpreter>,
}

/// A release that is to be made.
struct Order<'a> {
    plan: &'a Plan,
    url: &'a PackageUrl,
    chosen: Option<&'a Chosen>,
    sha256: &'a str,
    variant: &'a str,
}

/// The content of a package, and where it lies if it was fetched just now.
struct Content {
    sha256: String,
    fetched: Option<Fingerprint>,
}

impl Installer {
    /// `environment` is that of the worker.
    pub(crate) fn new(
        options: PackageOptions,
        coordinators: Coordinators,
        tools: Tools,
        environment: &BTreeMap<String, String>,
    ) -> Self {
        let sources = Sources {
            caches: options.caches.iter().filter_map(|text| super::url::cache_node(text)).collect(),
            coordinators,
            cache_tls: options.cache_tls.clone(),
            web_tls: options.web_tls.clone(),
            bytes_max: options.bytes_max,
        };
        let interpreters = Interpreters::new(options.python.clone(), environment);
        let home = environment.get("FLAME_HOME").filter(|text| !text.is_empty()).map(PathBuf::from);
        let turns = Mutex::default();
        Self { inner: Arc::new(Inner { options, sources, tools, interpreters, home, turns }) }
    }

    /// Has what an application asks for. An install that has begun goes on to its end, also when nobody waits for it any
    /// more: the next executor of the application comes soon.
    pub(crate) async fn install(&self, application: &ha::Application) -> Result<Installed, InstallError> {
        let Some(plan) = Plan::of(application)? else { return Ok(Installed::default()) };
        let (installer, timeout) = (self.clone(), self.inner.options.timeout);
        let work = async move {
            let turn = installer.turn(&plan.application);
            let _turn = turn.lock().await;
            installer.inner.install(&plan).await
        };
        let work = tokio::spawn(async move {
            tokio::time::timeout(timeout, work).await.unwrap_or(Err(InstallError::TimedOut(timeout)))
        });
        work.await.unwrap_or_else(|broken| Err(InstallError::Broken(broken.to_string())))
    }

    /// Answers what the last install of an application wrote.
    pub(crate) fn answer(&self, question: &ha::ReadInstallLog) -> ha::InstallLog {
        let answer = ha::InstallLog { question: question.question, ..ha::InstallLog::default() };
        match self.log(&question.application) {
            Ok(None) => answer,
            Ok(Some(Shown { text, written_ms, is_cut })) => {
                ha::InstallLog { found: true, text, written: written_ms, cut: is_cut, ..answer }
            }
            Err(error) => ha::InstallLog { error: error.to_string(), ..answer },
        }
    }

    fn log(&self, application: &str) -> Result<Option<Shown>, InstallError> {
        let application = AppName::parse(application).map_err(|error| InstallError::Name(error.to_string()))?;
        let folder = self.inner.apps().join(application.as_str());
        log::show(&folder).map_err(disk(&folder))
    }

    fn turn(&self, application: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(application.clone()).or_default())
    }
}

impl Inner {
    fn apps(&self) -> PathBuf {
        self.options.dir.join("apps")
    }

    async fn install(&self, plan: &Plan) -> Result<Installed, InstallError> {
        let chosen = match plan.kind {
            Kind::Binary => None,
            Kind::Python => Some(self.choose(plan.version).await?),
        };
        let release = match &plan.url {
            Some(url) => Some(self.release(plan, url, chosen.as_ref()).await?),
            None => None,
        };
        Ok(match &chosen {
            None => Installed::binary(release),
            Some(Chosen { version, interpreter }) => {
                let (interpreter, home) = (interpreter.as_ref(), self.home.as_deref());
                Installed::python(release, Python { version: *version, interpreter, home, caches: self.caches() })
            }
        })
    }

    /// The version that the application names, else the newest one of which there are modules for all applications, else
    /// that of the interpreter that is there.
    async fn choose(&self, wanted: Option<Version>) -> Result<Chosen, InstallError> {
        let wanted = wanted.or_else(|| Version::newest_below(self.home.as_deref()?));
        let interpreter = self.interpreters.find(wanted).await;
        if let Some(version) = wanted.or(interpreter.as_ref().map(|found| found.version)) {
            if interpreter.is_none() && self.interpreters.uv().await.is_none() {
                return Err(InstallError::NoPython(version));
            }
            return Ok(Chosen { version, interpreter });
        }
        match self.interpreters.uv().await {
            Some(_) => Ok(Chosen { version: Version::PUBLISHED, interpreter: None }),
            None => Err(InstallError::NoPythonAtAll),
        }
    }

    /// The release of what lies at the URL now.
    async fn release(&self, plan: &Plan, url: &PackageUrl, chosen: Option<&Chosen>) -> Result<Release, InstallError> {
        let home = Arc::new(Home::lock(&self.apps(), &plan.application).await?);
        let variant = variant(plan.kind, chosen.map(|chosen| chosen.version));
        let Content { sha256, fetched } = self.content(&home, url, &variant).await.inspect_err(|error| {
            if let Ok(mut log) = InstallLog::begin(&home.folder) {
                log.say(&format!("Failed: {error}"));
            }
        })?;
        let release = match home.release(&sha256, &variant)? {
            Some(release) => release,
            None => self.make(&home, &Order { plan, url, chosen, sha256: &sha256, variant: &variant }).await?,
        };
        if let Some(fingerprint) = fetched {
            home.remember(url, &Source { url: url.to_string(), sha256, fingerprint })?;
        }
        remove_file(&home.download()).map_err(disk(&home.folder))?;
        Ok(release)
    }

    /// What lies at the URL now. It is fetched, unless the URL or its place says that it is what a release is made of.
    async fn content(&self, home: &Home, url: &PackageUrl, variant: &str) -> Result<Content, InstallError> {
        if let Some(sha256) = &url.checksum
            && home.release(sha256, variant)?.is_some()
        {
            return Ok(Content { sha256: sha256.clone(), fetched: None });
        }
        let download = home.download();
        let mut source = None;
        if let Some(known) = home.source(url)
            && home.release(&known.sha256, variant)?.is_some()
        {
            source = Some(known);
        }
        let had = source.as_ref().map(|source| &source.fingerprint).filter(|had| **had != Fingerprint::Unknown);
        match (self.sources.fetch(url, had, &download).await?, source) {
            (Fetched::Same, Some(source)) => Ok(Content { sha256: source.sha256, fetched: None }),
            (Fetched::Same, None) => {
                let why = "it is said to be the same as nothing".to_owned();
                Err(InstallError::Fetch { url: url.to_string(), why })
            }
            (Fetched::New(fingerprint), _) => {
                let path = download.clone();
                let sha256 = blocking(move || sha256_of(&path)).await?.map_err(disk(&download))?;
                match &url.checksum {
                    Some(expected) if *expected != sha256 => {
                        let (url, expected) = (url.to_string(), expected.clone());
                        Err(InstallError::Checksum { url, found: sha256, expected })
                    }
                    _ => Ok(Content { sha256, fetched: Some(fingerprint) }),
                }
            }
        }
    }

    /// Makes a release of what was fetched.
    async fn make(&self, home: &Arc<Home>, order: &Order<'_>) -> Result<Release, InstallError> {
        let Order { plan, url, sha256, variant, .. } = order;
        let mut log = InstallLog::begin(&home.folder).map_err(disk(&home.folder))?;
        log.say(&format!("Installs {url} (sha256 {sha256}) for {} as {variant}.", plan.application));
        let made = self.make_with(home, order, &mut log).await;
        match &made {
            Ok(release) => {
                log.say("Done.");
                tracing::info!(application = %plan.application, folder = %release.folder.display(), "installed a package");
                if let Err(error) = collect(&self.apps(), home, self.options.kept) {
                    tracing::warn!(%error, "cannot remove installed packages that nobody uses");
                }
            }
            Err(error) => {
                log.say(&format!("Failed: {error}"));
                tracing::warn!(application = %plan.application, %error, "a package is not installed");
            }
        }
        made
    }

    async fn make_with(
        &self,
        home: &Arc<Home>,
        order: &Order<'_>,
        log: &mut InstallLog,
    ) -> Result<Release, InstallError> {
        let Order { plan, url, chosen, sha256, variant } = order;
        let folder = home.begin(sha256, variant)?;
        let src = folder.join(SRC);
        fs::create_dir(&src).map_err(disk(&src))?;
        let (held, into, packed) = (Arc::clone(home), src.clone(), url.packed);
        let bytes_max = self.options.bytes_max.saturating_mul(UNPACKED_FACTOR);
        // The lock is held until the thread is done, also when nobody waits for it any more.
        let unpacked = blocking(move || archive::unpack(&held.download(), packed, &into, bytes_max));
        unpacked.await?.map_err(|why| InstallError::Unpack { url: url.to_string(), why })?;
        let (library_dirs, module_dirs) = match chosen {
            None => (Vec::new(), Vec::new()),
            Some(Chosen { version, interpreter }) => {
                let job = Job {
                    plan,
                    url: url.to_string(),
                    release: &folder,
                    version: *version,
                    interpreter: interpreter.as_ref(),
                    interpreters: &self.interpreters,
                    tools: &self.tools,
                    caches: self.caches(),
                };
                let module_dirs = job.run(log).await?;
                (library_folders(&folder).map_err(disk(&folder))?, module_dirs)
            }
        };
        let (url, sha256, variant) = (url.to_string(), (*sha256).to_owned(), (*variant).to_owned());
        home.finish(folder, Record { url, sha256, variant, library_dirs, module_dirs })
    }

    /// Where uv and pip keep what they fetch: of one file system with the releases, and of all applications together.
    fn caches(&self) -> BTreeMap<String, String> {
        let folder = |name: &str| self.options.dir.join("cache").join(name).display().to_string();
        BTreeMap::from([("UV_CACHE_DIR".to_owned(), folder("uv")), ("PIP_CACHE_DIR".to_owned(), folder("pip"))])
    }
}

/// Work that keeps a thread busy.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, InstallError> {
    tokio::task::spawn_blocking(work).await.map_err(|broken| InstallError::Broken(broken.to_string()))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
