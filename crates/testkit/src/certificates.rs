//! Throw-away certificates, made when they are needed: keys in a repository would be keys that somebody trusts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flame_tls::{Client, ClientFiles, File};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug)]
pub struct CertifiedKey {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// All that tests of TLS need, as files in one folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority of the cluster. It signs for coordinators and for clients alike.
    pub ca: PathBuf,
    /// Of every coordinator: for servers and clients, at loopback addresses and those that were named.
    pub coordinator: CertifiedKey,
    /// Of clients and workers: for clients only.
    pub client: CertifiedKey,
    /// Of a client, and not valid any more.
    pub expired: CertifiedKey,
    /// Of a coordinator, for another name than any it has.
    pub misnamed: CertifiedKey,
    /// An authority that nobody has to do with.
    pub strangers_ca: PathBuf,
    /// What that one has signed, for servers and clients.
    pub stranger: CertifiedKey,
}

/// What a certificate is good for.
const BOTH: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
const CLIENT: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ClientAuth];

impl Certificates {
    /// What a client of the cluster has.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn of_clients(&self) -> Result<Client> {
        let file = |path: &Path| File::new("the test", path);
        let identity = Some((file(&self.client.cert), file(&self.client.key)));
        Ok(ClientFiles { ca: Some(file(&self.ca)), identity }.load()?)
    }

    /// Makes them in this folder, which is made, too. Coordinators are reached at these addresses beside loopback.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn make(folder: &Path, addresses: &[String]) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let names: Vec<String> =
            ["127.0.0.1", "::1", "localhost"].map(str::to_owned).into_iter().chain(addresses.to_vec()).collect();
        let (authority, stranger) = (Authority::new("cluster")?, Authority::new("strangers")?);
        let mut expired = params("expired", &[], CLIENT)?;
        (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        Ok(Self {
            ca: write(folder, "ca.pem", &authority.pem)?,
            coordinator: authority.sign(folder, &params("coordinator", &names, BOTH)?)?,
            client: authority.sign(folder, &params("client", &[], CLIENT)?)?,
            expired: authority.sign(folder, &expired)?,
            misnamed: authority.sign(folder, &params("misnamed", &["elsewhere.example".to_owned()], BOTH)?)?,
            strangers_ca: write(folder, "strangers-ca.pem", &stranger.pem)?,
            stranger: stranger.sign(folder, &params("stranger", &names, BOTH)?)?,
        })
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("Flame test authority of the {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Files are named by the common name.
    fn sign(&self, folder: &Path, params: &CertificateParams) -> Result<CertifiedKey> {
        let name = match params.distinguished_name.get(&DnType::CommonName) {
            Some(rcgen::DnValue::Utf8String(name)) => name.clone(),
            _ => "unnamed".to_owned(),
        };
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(CertifiedKey {
            cert: write(folder, &format!("{name}.pem"), &cert.pem())?,
            key: write(folder, &format!("{name}.key"), &key.serialize_pem())?,
        })
    }
}

fn params(name: &str, alternative: &[String], usages: &[ExtendedKeyUsagePurpose]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(alternative.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = usages.to_vec();
    Ok(params)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
