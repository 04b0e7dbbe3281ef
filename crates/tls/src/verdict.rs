//! Why two sides do not come together, where trying again does not help: somebody has to change a setting or a file.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use tonic::{Code, Status};

/// What somebody has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This side does not trust the certificate of the server; why not.
    ServerNotTrusted(String),
    /// The certificate of the server is for other names than the one it was reached by.
    OtherName(String),
    /// The certificate of the server is not valid at this time; how so.
    NotNow(String),
    /// The server wants a certificate, and this side has shown none.
    CertificateWanted,
    /// The server does not take the certificate of this side; the alert that it sent.
    CertificateRefused(String),
    /// The server does not speak TLS.
    ServerIsPlain,
    /// The server speaks TLS only, and this side has not.
    ServerIsTls,
    /// Both speak TLS, and have nothing in common; what the library says.
    NothingInCommon(String),
}

/// How whoever connects names its settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The authorities that are trusted.
    pub ca: &'static str,
    /// The own certificate with its key.
    pub identity: &'static str,
}

impl Verdict {
    /// What a failed call says, if it says any of this. Then nothing was done.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let source = status.source()?;
        // No server sends a source: this is HTTP/2's word for a connection that should have been encrypted.
        if status.code() == Code::PermissionDenied {
            return Some(Self::ServerIsTls);
        }
        Self::of_error(source)
    }

    /// What a failed connection says, if it says any of this.
    #[must_use]
    pub fn of_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let tls = inner.and_then(|inner| inner.downcast_ref::<Error>()).or_else(|| error.downcast_ref::<Error>());
            if let Some(verdict) = tls.and_then(Self::of_tls) {
                return Some(verdict);
            }
            next = error.source();
        }
        None
    }

    fn of_tls(error: &Error) -> Option<Self> {
        Some(match error {
            Error::InvalidCertificate(why) => Self::of_certificate(why, error),
            Error::AlertReceived(AlertDescription::CertificateRequired) => Self::CertificateWanted,
            Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError),
            ) => Self::CertificateRefused(format!("{alert:?}")),
            Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol,
            )
            | Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol => Self::NothingInCommon(error.to_string()),
            Error::InvalidMessage(_) => Self::ServerIsPlain,
            _ => return None,
        })
    }

    fn of_certificate(why: &CertificateError, error: &Error) -> Self {
        match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName(words(error))
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::NotNow(words(error)),
            _ => Self::ServerNotTrusted(words(error)),
        }
    }

    /// What is wrong and what to do about it, for whoever has these settings.
    #[must_use]
    pub fn explain(&self, Settings { ca, identity }: Settings) -> String {
        match self {
            Self::ServerNotTrusted(why) => format!(
                "its certificate is not trusted: {why}; name the authority that has signed it with {ca}, and see that this \
                 is the right server"
            ),
            Self::OtherName(why) => {
                format!("{why}; reach it by a name in its certificate, or give it one with this name (subjectAltName)")
            }
            Self::NotNow(why) => format!("{why}; renew it, or set the clock of this machine"),
            Self::CertificateWanted => {
                format!("it demands a certificate, and none was shown; name one and its key with {identity}")
            }
            Self::CertificateRefused(alert) => format!(
                "it does not accept the certificate that was shown ({alert}); name one that its authority has signed, and \
                 that is valid today, with {identity}"
            ),
            Self::ServerIsPlain => "it does not speak TLS; write http:// if it is meant to be so".to_owned(),
            Self::ServerIsTls => "it speaks TLS only; write https://".to_owned(),
            Self::NothingInCommon(why) => format!("there is no kind of TLS that both sides speak ({why})"),
        }
    }
}

/// What is wrong, from the side that has found it, in words.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "it has shown no certificate".to_owned(),
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "the certificate is signed by an unknown authority".to_owned(),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented = presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
                format!("its certificate is for {presented}, not for {}", expected.to_str())
            }
            CertificateError::NotValidForName => "its certificate is for other names".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet".to_owned()
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the certificate is not meant for this use (extended key usage)".to_owned()
            }
            other => format!("the certificate is invalid ({other:?})"),
        },
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate) => {
            "the other side does not trust this side's certificate".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired) => {
            "it does not speak TLS 1.3".to_owned()
        }
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

/// The library shows names as it keeps them: `DnsName("a")`, `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inside.trim_matches('"')
}
