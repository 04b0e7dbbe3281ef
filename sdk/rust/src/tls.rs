//! Certificates: which files they come from, and what becomes of a call when they do not fit.
//!
//! A setting of the program ([`TlsFiles`]) comes before the configuration file that named the coordinators, and that before
//! the environment. A certificate and its key always come from the same of these.
//!
//! **Invariant:** an endpoint that begins with `https://` is never spoken to in plaintext, nor is any coordinator that was
//! heard of there.
//! **Invariant:** coordinators whose certificates do not fit are passed over as if they were away. When all of those that
//! can be turned to are of that kind, nothing is tried again: no attempt will change a certificate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flame_tls::{Client, ClientFiles, File, Refusal, Settings, Verdict};

use crate::FlameError;
use crate::fate::Trouble;

/// Names the file with the authorities that coordinators are checked by.
pub const CA_FILE_VARIABLE: &str = "FLAME_CA_FILE";

/// Names the file with the certificate that this client shows.
pub const CERT_FILE_VARIABLE: &str = "FLAME_CERT_FILE";

/// Names the file with the key of that certificate.
pub const KEY_FILE_VARIABLE: &str = "FLAME_KEY_FILE";

/// How errors name what is to be set.
pub(crate) const SETTINGS: Settings = Settings {
    ca: "FLAME_CA_FILE, --ca-file or cluster.tls.ca_file in flame.yaml",
    identity: "FLAME_CERT_FILE and FLAME_KEY_FILE, --cert-file and --key-file, or cluster.tls in flame.yaml",
};

/// Files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that coordinators are checked by; without it, those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to coordinators that demand one.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
}

impl TlsFiles {
    /// The same, with the names of these settings.
    pub(crate) fn named(self, name: impl Fn(Which) -> String) -> NamedFiles {
        let file = |which, path: Option<PathBuf>| path.map(|path| File::new(name(which), path));
        NamedFiles {
            ca: file(Which::Ca, self.ca_file),
            cert: file(Which::Cert, self.cert_file),
            key: file(Which::Key, self.key_file),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One of the files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Ca,
    Cert,
    Key,
}

impl Which {
    /// As the key of a file and as a flag have it.
    pub(crate) fn pick(self, names: [&'static str; 3]) -> &'static str {
        names[self as usize]
    }
}

/// Files, and the settings that name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedFiles {
    ca: Option<File>,
    cert: Option<File>,
    key: Option<File>,
}

impl NamedFiles {
    /// Where these say nothing, the others do.
    pub(crate) fn or(self, others: Self) -> Self {
        let (cert, key) = match (self.cert, self.key) {
            (None, None) => (others.cert, others.key),
            own => own,
        };
        Self { ca: self.ca.or(others.ca), cert, key }
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca.as_ref().map(|file| file.path.as_path())
    }

    pub(crate) fn load(self) -> Result<Client, Refusal> {
        let names = ("FLAME_CERT_FILE (or --cert-file)", "FLAME_KEY_FILE (or --key-file)");
        ClientFiles::of(self.ca, self.cert, self.key, names)?.load()
    }
}

/// What encrypts the connections to these URLs, if any of them asks for that.
pub(crate) fn client(urls: &[String], given: &TlsFiles, found: &NamedFiles) -> Result<Option<Client>, FlameError> {
    if !urls.iter().any(|url| is_secure(url)) {
        if given.is_empty() {
            return Ok(None);
        }
        let why = "certificates are given, but no endpoint begins with https://: nothing would be encrypted";
        return Err(FlameError::InvalidArgument(why.to_owned()));
    }
    let given = given.clone().named(|which| which.pick(["--ca-file", "--cert-file", "--key-file"]).to_owned());
    let loaded = given.or(found.clone()).load();
    loaded.map(Some).map_err(|refusal| FlameError::InvalidArgument(refusal.to_string()))
}

pub(crate) fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
}

/// The coordinators of one call that this client and its certificates do not fit, by their places.
#[derive(Debug, Default)]
pub(crate) struct Misfits(BTreeMap<usize, String>);

impl Misfits {
    /// What an attempt at a coordinator has met, together with what is known of the others. An error when nobody is left
    /// among `urls` who could answer.
    pub(crate) fn weigh(&mut self, at: usize, trouble: Trouble, urls: &[String]) -> Result<Trouble, FlameError> {
        match &trouble.misfit {
            Some(verdict) => self.0.insert(at, verdict.explain(SETTINGS)),
            None => self.0.remove(&at),
        };
        let known = self.known(urls);
        match known.len() == urls.len() {
            true => Err(FlameError::Untrusted(told(&known))),
            false => Ok(self.beside(trouble, urls)),
        }
    }

    /// `trouble`, together with what is known of all.
    pub(crate) fn beside(&self, trouble: Trouble, urls: &[String]) -> Trouble {
        let told = match self.known(urls) {
            known if known.is_empty() => return trouble,
            known => told(&known),
        };
        let why = if trouble.misfit.is_some() { told } else { format!("{}; {told}", trouble.why) };
        Trouble { why, ..trouble }
    }

    fn known<'a>(&'a self, urls: &'a [String]) -> Vec<(&'a String, &'a String)> {
        urls.iter().enumerate().filter_map(|(at, url)| Some((url, self.0.get(&at)?))).collect()
    }
}

/// What is the same for several is said once.
fn told(known: &[(&String, &String)]) -> String {
    let mut by_cause: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (url, cause) in known {
        by_cause.entry(cause).or_default().push(url);
    }
    let told = by_cause.into_iter().map(|(cause, urls)| format!("{}: {cause}", urls.join(", ")));
    told.collect::<Vec<_>>().join("; ")
}

/// What the transport says of a call, when it is about certificates.
pub(crate) fn misfit(status: &tonic::Status) -> Option<Trouble> {
    let verdict = Verdict::of(status)?;
    Some(Trouble { misfit: Some(verdict.clone()), ..Trouble::with(verdict.explain(SETTINGS)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(misfit: Option<Verdict>) -> Trouble {
        Trouble { misfit, ..Trouble::with("connection refused") }
    }

    #[test]
    fn only_when_nobody_fits_is_there_no_sense_in_going_on() {
        let urls = ["https://a:1", "https://b:1"].map(str::to_owned);
        let mut misfits = Misfits::default();
        let wanted = || trouble(Some(Verdict::CertificateWanted));
        let first = misfits.weigh(0, wanted(), &urls).unwrap();
        assert!(first.why.starts_with("https://a:1: it demands a certificate"), "{}", first.why);
        let away = misfits.weigh(1, trouble(None), &urls).unwrap();
        assert!(away.why.starts_with("connection refused; https://a:1: it demands"), "{}", away.why);
        let error = misfits.weigh(1, wanted(), &urls).unwrap_err();
        assert_eq!(error.class(), "untrusted");
        assert!(error.to_string().starts_with("https://a:1, https://b:1: it demands"), "{error}");
    }

    #[test]
    fn an_attempt_that_was_cut_off_hides_nothing() {
        let urls = ["https://a:1", "https://b:1"].map(str::to_owned);
        let mut misfits = Misfits::default();
        misfits.weigh(0, trouble(Some(Verdict::CertificateWanted)), &urls).unwrap();
        let cut_off = misfits.beside(Trouble::with("no answer in time"), &urls);
        assert!(cut_off.why.starts_with("no answer in time; https://a:1: it demands"), "{}", cut_off.why);
    }

    #[test]
    fn one_that_answers_otherwise_is_a_misfit_no_more() {
        let urls = ["https://a:1", "https://b:1"].map(str::to_owned);
        let mut misfits = Misfits::default();
        let plain = || trouble(Some(Verdict::ServerIsPlain));
        misfits.weigh(0, plain(), &urls).unwrap();
        misfits.weigh(0, trouble(None), &urls).unwrap();
        assert!(misfits.weigh(1, plain(), &urls).is_ok());
    }

    #[test]
    fn a_certificate_and_its_key_come_from_one_place() {
        let named = |place: &'static str, ca: bool, cert: bool, key: bool| {
            let path = |given: bool| given.then(|| PathBuf::from("x"));
            let files = TlsFiles { ca_file: path(ca), cert_file: path(cert), key_file: path(key) };
            files.named(|which| format!("{place} {which:?}"))
        };
        let merged = named("flag", false, true, false).or(named("env", true, true, true));
        assert_eq!(merged.ca.as_ref().unwrap().named, "env Ca");
        assert_eq!((merged.cert.as_ref().unwrap().named.as_str(), &merged.key), ("flag Cert", &None));
        let error = merged.load().unwrap_err().to_string();
        assert!(error.starts_with("flag Cert is set and FLAME_KEY_FILE (or --key-file) is not"), "{error}");
    }

    #[test]
    fn certificates_for_nothing_are_a_mistake() {
        let files = TlsFiles { ca_file: Some("ca.pem".into()), ..TlsFiles::default() };
        let plain = ["http://a:1".to_owned()];
        assert_eq!(client(&plain, &files, &NamedFiles::default()).unwrap_err().class(), "invalid_argument");
        let by_environment = files.clone().named(|_| "FLAME_CA_FILE".to_owned());
        assert!(client(&plain, &TlsFiles::default(), &by_environment).unwrap().is_none(), "it may be set for others");
        let error = client(&["https://a:1".to_owned()], &files, &NamedFiles::default()).unwrap_err().to_string();
        assert!(error.starts_with("--ca-file names ca.pem, which cannot be read"), "{error}");
    }
}
