//! Why certificates cannot be used. Every message names the setting that gave the file.

use std::io;

use crate::files::File;

/// Why certificates cannot be used. All of it is mended by whoever runs the program.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is not there, or not for us.
    #[error("{file}, which cannot be read: {source}; name a file that this process may read")]
    Unreadable {
        /// The file.
        file: File,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate has so many bytes.
    #[error("{file}, which has more than {limit} bytes; is it the right file?")]
    TooLarge {
        /// The file.
        file: File,
        /// Most bytes that are read.
        limit: u64,
    },
    /// There is none in it.
    #[error("{file}, which holds no certificate: {why}; it must be PEM text with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// The file.
        file: File,
        /// How it shows.
        why: String,
    },
    /// There is none in it.
    #[error(
        "{file}, which holds no private key that can be used: {why}; it must be PEM text with -----BEGIN PRIVATE KEY-----, \
         without a passphrase"
    )]
    NoKey {
        /// The file.
        file: File,
        /// How it shows.
        why: String,
    },
    /// They are not of one pair.
    #[error("{key}, which is not the key of the certificate {}; name the key that this certificate was made with", cert.path.display())]
    OtherKey {
        /// The key.
        key: File,
        /// The certificate.
        cert: File,
    },
    /// A certificate without its key, or the other way round.
    #[error("{given} is set and {missing} is not: a certificate and its key belong together; set both or neither")]
    Alone {
        /// What is set.
        given: String,
        /// What is not.
        missing: &'static str,
    },
    /// What is of no use without something else.
    #[error("{given} is set and {missing} is not: {why}; set {missing} too")]
    Missing {
        /// What is set.
        given: String,
        /// What is not.
        missing: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
    /// The other coordinators would not let this one in.
    #[error(
        "{cert}, which other coordinators would not accept: {why}. It must be signed by {}, and good for servers and for \
         clients (extended key usage serverAuth and clientAuth, or none at all)", ca.path.display()
    )]
    NotAccepted {
        /// The certificate of this coordinator.
        cert: File,
        /// The authority that coordinators trust.
        ca: File,
        /// What is wrong.
        why: String,
    },
    /// There is nobody to trust.
    #[error(
        "this system trusts no certificate authority at all ({why}), and none is named: name the one of the cluster \
         (ca_file)"
    )]
    NoRoots {
        /// What was found instead.
        why: String,
    },
    /// The library does not take what is in the files.
    #[error("{file}, which cannot be used: {why}")]
    Unusable {
        /// The file.
        file: File,
        /// What it says.
        why: String,
    },
}
