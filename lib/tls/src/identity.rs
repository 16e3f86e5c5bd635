//! A certificate chain with its private key.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::{PeerCertificate, TlsError, pem, provider};

/// A certificate chain with its private key, checked to belong together.
///
/// Two identities are equal when their chains are, whatever files they came from.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    certificate: Arc<PeerCertificate>,
    not_before_us: i64,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl Identity {
    /// Loads a chain (the own certificate first, then its issuers) and its key, both PEM.
    ///
    /// A certificate that is expired or not yet valid is loaded: ask [`Identity::validity_warning`]. A gateway that
    /// refuses to start over one expired certificate takes all the others down with it.
    ///
    /// # Errors
    /// A file cannot be read, lacks what it must hold, or the key belongs to another certificate.
    pub fn load(cert_pem: &Path, key_pem: &Path) -> Result<Self, TlsError> {
        let chain = pem::certificates(cert_pem, &pem::read(cert_pem)?)?;
        let key = pem::private_key(key_pem, &pem::read(key_pem)?)?;
        let bad_certificate = |reason: String| TlsError::BadCertificate { file: cert_pem.to_owned(), reason };
        let (certificate, not_before_us) =
            PeerCertificate::parse_with_start(&chain[0]).map_err(|error| bad_certificate(error.to_string()))?;
        let signing = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| TlsError::BadKey { file: key_pem.to_owned(), reason: error.to_string() })?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                return Err(TlsError::KeyMismatch { cert: cert_pem.to_owned(), key: key_pem.to_owned() });
            }
            Err(error) => return Err(bad_certificate(error.to_string())),
        }
        Ok(Self {
            key: Arc::new(key),
            certificate: Arc::new(certificate),
            not_before_us,
            cert_file: cert_pem.to_owned(),
            key_file: key_pem.to_owned(),
        })
    }

    /// Reads the identity again from its files.
    ///
    /// # Errors
    /// As for [`Identity::load`].
    pub fn reload(&self) -> Result<Self, TlsError> {
        Self::load(&self.cert_file, &self.key_file)
    }

    /// Returns the facts of the first certificate of the chain.
    pub fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// Returns the file with the chain.
    pub fn cert_file(&self) -> &Path {
        &self.cert_file
    }

    /// Returns a warning if the certificate is expired or not yet valid now.
    pub fn validity_warning(&self) -> Option<ValidityWarning> {
        self.validity_warning_at(SystemTime::now())
    }

    /// Returns a warning if the certificate is expired or not yet valid at `moment`.
    pub fn validity_warning_at(&self, moment: SystemTime) -> Option<ValidityWarning> {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let file = self.cert_file.clone();
        if now_us > self.certificate.not_after_us {
            return Some(ValidityWarning::Expired { file, not_after_us: self.certificate.not_after_us });
        }
        if now_us < self.not_before_us {
            return Some(ValidityWarning::NotYetValid { file, not_before_us: self.not_before_us });
        }
        None
    }

    /// Returns the key and the chain, for rustls.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.certificate.sha256.hash(state);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.certificate.subject)
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}

/// A certificate that peers refuse at this moment. The caller logs it and goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidityWarning {
    /// The certificate has expired.
    #[error("{}: the certificate expired {}; renew it, clients refuse it", file.display(), moment(*not_after_us))]
    Expired {
        /// The certificate file.
        file: PathBuf,
        /// Its end, in microseconds since 1970.
        not_after_us: i64,
    },
    /// The certificate is not valid yet.
    #[error("{}: the certificate is valid only from {}; check the clock, clients refuse it", file.display(), moment(*not_before_us))]
    NotYetValid {
        /// The certificate file.
        file: PathBuf,
        /// Its beginning, in microseconds since 1970.
        not_before_us: i64,
    },
}

/// Writes a moment as a certificate shows it: `Nov 23 22:00:00 2026 +00:00`.
fn moment(us: i64) -> String {
    match x509_parser::time::ASN1Time::from_timestamp(us.div_euclid(1_000_000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{us} µs since 1970"),
    }
}
