//! Trusted authorities.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;

use crate::{Revocation, TlsError, pem};

/// Where Linux and BSD systems keep their bundle.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The variable that OpenSSL and others read for the same purpose.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// A set of trusted certificates, with the revocation lists of what they have signed. Two sets are equal when they hold
/// the same certificates and lists in the same order.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    sha256: [u8; 32],
    file: PathBuf,
    revocation: Option<Arc<Revocation>>,
}

impl Roots {
    /// Makes an empty set: for a client of servers without TLS.
    #[must_use]
    pub fn none() -> Self {
        let store = Arc::new(RootCertStore::empty());
        Self { store, sha256: [0; 32], file: PathBuf::new(), revocation: None }
    }

    /// Loads a PEM bundle.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate, or one that cannot be a trust anchor.
    pub fn load(file: &Path) -> Result<Self, TlsError> {
        let certificates = pem::certificates(file, &pem::read(file)?)?;
        Self::of(file, certificates, false)
    }

    /// Loads the bundle of this system: `SSL_CERT_FILE`, or else the first that exists in the usual places.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn system() -> Result<Self, TlsError> {
        let file = match std::env::var_os(BUNDLE_VARIABLE) {
            Some(file) => PathBuf::from(file),
            None => SYSTEM_BUNDLES
                .iter()
                .map(PathBuf::from)
                .find(|file| file.is_file())
                .ok_or_else(|| TlsError::NoSystemRoots { looked_at: SYSTEM_BUNDLES.join(", ") })?,
        };
        let certificates = pem::certificates(&file, &pem::read(&file)?)?;
        // A system's bundle may hold oddities that nobody here can repair; they are left out.
        Self::of(&file, certificates, true)
    }

    fn of(
        file: &Path,
        certificates: Vec<rustls_pki_types::CertificateDer<'static>>,
        lenient: bool,
    ) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let mut all = Context::new(&SHA256);
        for certificate in certificates {
            let length = certificate.len() as u64;
            all.update(&length.to_be_bytes());
            all.update(&certificate);
            match store.add(certificate) {
                Ok(()) => {}
                Err(_) if lenient => {}
                Err(error) => {
                    return Err(TlsError::BadCertificate { file: file.to_owned(), reason: error.to_string() });
                }
            }
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(all.finish().as_ref());
        Ok(Self { store: Arc::new(store), sha256, file: file.to_owned(), revocation: None })
    }

    /// Adds the revocation lists that are asked when clients are verified.
    #[must_use]
    pub fn revoking(self, revocation: Revocation) -> Self {
        Self { revocation: Some(Arc::new(revocation)), ..self }
    }

    /// Returns the revocation lists.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.revocation.as_deref()
    }

    /// Returns the store, for rustls.
    pub fn store(&self) -> &Arc<RootCertStore> {
        &self.store
    }

    /// Returns the file that the set was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && self.revocation == other.revocation
    }
}

impl Eq for Roots {}

impl Hash for Roots {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sha256.hash(state);
        self.revocation.hash(state);
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("file", &self.file).field("certificates", &self.store.len()).finish()
    }
}
