//! What can be wrong with certificates and keys: each message names the file and the cure.

use std::path::PathBuf;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}; check that it exists and that this process's user may read it", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not PEM.
    #[error("{}: is not valid PEM: {reason}; convert a binary file with `openssl x509 -inform der -in FILE`", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A certificate file without a certificate.
    #[error("{}: holds no certificate; it must have a `-----BEGIN CERTIFICATE-----` section{hint}", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
        /// What it seems to be instead.
        hint: &'static str,
    },
    /// A key file without a private key.
    #[error("{}: holds no private key; it must have a PKCS#8, SEC1 or RSA `PRIVATE KEY` section{hint}", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
        /// What it seems to be instead.
        hint: &'static str,
    },
    /// A certificate that cannot be understood.
    #[error("{}: holds a certificate that cannot be understood: {reason}; look at it with `openssl x509 -in FILE -text`", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A key that cannot be used.
    #[error("{}: holds a private key that cannot be used: {reason}; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
        /// What the provider says.
        reason: String,
    },
    /// A key that belongs to another certificate.
    #[error("the private key in {} does not belong to the first certificate in {}; use the key that the certificate was requested with, and put the server's own certificate before its issuers", key.display(), cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A file without a revocation list that can be used.
    #[error("{}: cannot be used as a revocation list: {reason}; convert a binary one with `openssl crl -inform der -in FILE`", file.display())]
    BadRevocationList {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Revocation is to be checked, by no list.
    #[error("there is no revocation list; name at least one file")]
    NoRevocationList,
    /// A server name with two policies.
    #[error("the server name `{name}` stands under two policies; keep it under one")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// No bundle of trusted certificates was found on this system.
    #[error(
        "this system has no bundle of trusted certificates (looked at {looked_at}); install ca-certificates or name a bundle"
    )]
    NoSystemRoots {
        /// The places.
        looked_at: String,
    },
    /// A server without a certificate.
    #[error("a TLS listener needs at least one certificate; name a certificate and a key file")]
    NoIdentity,
    /// rustls refuses the combination.
    #[error("this TLS configuration is not possible: {0}")]
    Refused(String),
}
