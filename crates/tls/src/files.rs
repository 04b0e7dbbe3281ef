//! Files of certificates and keys.
//!
//! **Invariant:** what was read is whole and right: certificates that can be parsed, a key that belongs to the first.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use crate::provider;
use crate::refusal::Refusal;

/// Most bytes of a file: a bundle of some hundred authorities.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The setting, as whoever made it knows it: `FLAME_CA_FILE`, `cluster.tls.ca_file (flame.yaml, line 7)`.
    pub named: String,
    /// The file.
    pub path: PathBuf,
}

impl File {
    /// A file that this setting names.
    pub fn new(named: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { named: named.into(), path: path.into() }
    }

    fn read(&self) -> Result<Vec<u8>, Refusal> {
        let unreadable = |source| Refusal::Unreadable { file: self.clone(), source };
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Refusal::TooLarge { file: self.clone(), limit: FILE_BYTES_MAX });
        }
        Ok(bytes)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Refusal> {
        let none = |why: String| Refusal::NoCertificate { file: self.clone(), why };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.read()?).collect();
        let found = found.map_err(|error| none(error.to_string()))?;
        if found.is_empty() { Err(none("there is none in it".to_owned())) } else { Ok(found) }
    }

    /// The authorities in it.
    pub(crate) fn authorities(&self) -> Result<Arc<RootCertStore>, Refusal> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let wrong = |error: Error| Refusal::NoCertificate { file: self.clone(), why: error.to_string() };
            roots.add(certificate).map_err(wrong)?;
        }
        Ok(Arc::new(roots))
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} names {}", self.named, self.path.display())
    }
}

/// A certificate, those that sign it, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    pub(crate) fn read(cert: &File, key: &File) -> Result<Self, Refusal> {
        let chain = cert.certificates()?;
        let no_key = |why: String| Refusal::NoKey { file: key.clone(), why };
        let found = PrivateKeyDer::from_pem_slice(&key.read()?).map_err(|error| no_key(error.to_string()))?;
        match CertifiedKey::from_der(chain.clone(), found.clone_key(), &provider()) {
            Ok(_) => Ok(Self { chain, key: Arc::new(found) }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(Refusal::OtherKey { key: key.clone(), cert: cert.clone() })
            }
            Err(Error::InvalidCertificate(why)) => {
                Err(Refusal::NoCertificate { file: cert.clone(), why: format!("{why:?}") })
            }
            Err(error) => Err(no_key(error.to_string())),
        }
    }
}

/// Both, or neither: the names say what to set.
pub(crate) fn pair(
    cert: Option<File>,
    key: Option<File>,
    names: (&'static str, &'static str),
) -> Result<Option<(File, File)>, Refusal> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(cert), None) => Err(Refusal::Alone { given: cert.named, missing: names.1 }),
        (None, Some(key)) => Err(Refusal::Alone { given: key.named, missing: names.0 }),
    }
}
