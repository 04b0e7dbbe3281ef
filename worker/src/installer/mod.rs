//! Packages of applications: fetched, checked, unpacked and installed before the service starts.
//!
//! A package lies at a URL, and what lies there may change. So the *content* decides: a release is the folder of one
//! content (its sha256) for one installer and one version of Python, and a URL is asked again before each start whether it
//! still has what was fetched, unless it names the checksum itself.
//!
//! ```text
//! <install_dir>/apps/<application>/lock        one install of an application at a time, over all workers of the host
//!                                 /sources/    what each URL had when it was last asked
//!                                 /releases/<sha256>-<variant>/{src,deps,release.json,in-use}
//!                                 /install.log the last install, and install.log.1 the one before
//! <install_dir>/cache/{uv,pip}
//! ```
//!
//! **Invariant:** nobody runs what the URL does not have any more: when it cannot be asked, the start fails, and is tried
//! again like any other.
//!
//! **Invariant:** a release without `release.json` is half a release: it is removed and made again. So a failed install
//! is never remembered.
//!
//! **Invariant:** nothing of an archive is written outside of its release, and no release leaves that an executor uses.
//!
//! | module | holds |
//! |---|---|
//! | [`store`] | the whole way, from an application to what its service finds; start here |
//! | [`plan`] | what an application asks for |
//! | [`url`] | where a package lies |
//! | [`fetch`] | how it gets here: files, HTTP, the object cache |
//! | [`archive`] | how it is unpacked |
//! | [`release`] | folders and locks on disk, and what leaves |
//! | [`python`] | interpreters, projects, uv and pip |
//! | [`environment`] | what the service finds in its environment |
//! | [`tools`] | programs that install |
//! | [`log`] | what they write |
//! | [`error`] | why there is no installation |

pub(crate) mod archive;
pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod log;
pub(crate) mod plan;
pub(crate) mod python;
pub(crate) mod release;
pub(crate) mod store;
pub(crate) mod tools;
pub(crate) mod url;

pub(crate) use environment::Installed;
pub(crate) use error::InstallError;
pub(crate) use fetch::Coordinators;
pub(crate) use store::Installer;
