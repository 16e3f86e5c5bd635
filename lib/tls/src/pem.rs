//! Reads PEM files.

use std::path::Path;

use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::TlsError;

/// Largest PEM file, in bytes. The bundle of a whole Linux system is about 250 KiB.
const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;

    let failed = |source| TlsError::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(failed(std::io::Error::other("larger than 16 MiB")));
    }
    Ok(bytes)
}

/// Returns all certificates of a file, at least one.
pub(crate) fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = parsed.map_err(|error| broken(file, &error))?;
    if certificates.is_empty() {
        let hint = if contains(pem, "PRIVATE KEY-----") { "; this is a key file: are the two swapped?" } else { "" };
        return Err(TlsError::NoCertificate { file: file.to_owned(), hint });
    }
    Ok(certificates)
}

/// Returns all revocation lists of a file, at least one.
pub(crate) fn revocation_lists(
    file: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, Error> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let lists = parsed.map_err(|error| broken(file, &error))?;
    if lists.is_empty() {
        let reason = "it has no `-----BEGIN X509 CRL-----` section".to_owned();
        return Err(TlsError::BadRevocationList { file: file.to_owned(), reason });
    }
    Ok(lists)
}

/// Returns the first private key of a file.
pub(crate) fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) => {
            let hint = if contains(pem, "BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, "Proc-Type: 4,ENCRYPTED") {
                "; this one is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.plain`"
            } else if contains(pem, "BEGIN CERTIFICATE-----") {
                "; this is a certificate file: are the two swapped?"
            } else {
                ""
            };
            Err(TlsError::NoKey { file: file.to_owned(), hint })
        }
        Err(error) => Err(broken(file, &error)),
    }
}

fn broken(file: &Path, error: &Error) -> TlsError {
    TlsError::Pem { file: file.to_owned(), reason: error.to_string() }
}

fn contains(pem: &[u8], word: &str) -> bool {
    pem.windows(word.len()).any(|window| window == word.as_bytes())
}
