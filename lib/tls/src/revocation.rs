//! Certificate revocation lists (RFC 5280 section 5).

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::{TlsError, pem};

/// The revocation lists of a set of authorities, and what a missing or old list means. Compares by value.
#[derive(Debug, Clone)]
pub struct Revocation {
    lists: Vec<CertificateRevocationListDer<'static>>,
    sha256: [u8; 32],
    next_update_s: Option<i64>,
    file: PathBuf,
    /// Whether a certificate passes whose issuer has no list here. If not, every certificate of a chain but the root
    /// needs a list of its issuer.
    pub accept_unknown: bool,
    /// Whether a list still counts after its `nextUpdate`. If not, a list that is not renewed locks every client out.
    pub accept_expired: bool,
}

impl Revocation {
    /// Loads PEM files with one list or more each.
    ///
    /// # Errors
    /// A file cannot be read, or holds no list, or one that cannot be understood; or there is no file.
    pub fn load<P: AsRef<Path>>(files: &[P], accept_unknown: bool, accept_expired: bool) -> Result<Self, TlsError> {
        let (mut lists, mut all, mut next_update_s) = (Vec::new(), Context::new(&SHA256), None::<i64>);
        for file in files {
            let file = file.as_ref();
            for list in pem::revocation_lists(file, &pem::read(file)?)? {
                let bad = |reason: String| TlsError::BadRevocationList { file: file.to_owned(), reason };
                let (_, parsed) = CertificateRevocationList::from_der(&list).map_err(|error| bad(error.to_string()))?;
                let due = parsed.next_update().map(|time| time.timestamp());
                next_update_s = due.into_iter().chain(next_update_s).min();
                all.update(&(list.len() as u64).to_be_bytes());
                all.update(&list);
                lists.push(list);
            }
        }
        let file = files.first().map(|file| file.as_ref().to_owned()).ok_or(TlsError::NoRevocationList)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(all.finish().as_ref());
        Ok(Self { lists, sha256, next_update_s, file, accept_unknown, accept_expired })
    }

    /// Returns the lists, for rustls.
    pub(crate) fn lists(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.lists.iter().cloned()
    }

    /// Returns the first file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns when the first of the lists is due to be renewed, in seconds since 1970.
    pub fn next_update_s(&self) -> Option<i64> {
        self.next_update_s
    }
}

impl PartialEq for Revocation {
    fn eq(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.sha256, r.accept_unknown, r.accept_expired);
        key(self) == key(other)
    }
}

impl Eq for Revocation {}

impl std::hash::Hash for Revocation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.sha256, self.accept_unknown, self.accept_expired).hash(state);
    }
}
