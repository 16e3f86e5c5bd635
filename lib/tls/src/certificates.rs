//! The certificates of a server: picked by SNI, and replaceable while it runs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::name_table::NameTable;
use crate::{Identity, TlsError};

/// The identities of a listener. The first is shown to clients that ask for none or for an unknown name.
///
/// An identity answers to the DNS names of its certificate (to its common name if it has none): exact names win over
/// wildcards, a wildcard stands for exactly one label, and of two identities with one name the first wins.
pub struct Certificates {
    table: ArcSwap<Table>,
}

struct Table {
    identities: Vec<Identity>,
    by_name: NameTable<usize>,
}

impl Certificates {
    /// Makes a set of at least one identity.
    ///
    /// # Errors
    /// [`TlsError::NoIdentity`] if there is none.
    pub fn new(identities: Vec<Identity>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { table: ArcSwap::from_pointee(Table::of(identities)?) }))
    }

    /// Replaces all identities. Open connections keep theirs.
    ///
    /// # Errors
    /// [`TlsError::NoIdentity`] if there is none; then nothing changes.
    pub fn replace(&self, identities: Vec<Identity>) -> Result<(), TlsError> {
        self.table.store(Arc::new(Table::of(identities)?));
        Ok(())
    }

    /// Reads all identities again from their files, and replaces all of them or none. Returns whether any has changed.
    ///
    /// # Errors
    /// A file cannot be loaded; then nothing changes.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let before = self.identities();
        let after = before.iter().map(Identity::reload).collect::<Result<Vec<_>, _>>()?;
        let changed = before != after;
        if changed {
            self.replace(after)?;
        }
        Ok(changed)
    }

    /// Returns the identities that are shown now.
    pub fn identities(&self) -> Vec<Identity> {
        self.table.load().identities.clone()
    }

    /// Returns the identity for a server name; without a name, or for an unknown one, the first identity.
    pub fn for_name(&self, sni: Option<&str>) -> Identity {
        let table = self.table.load();
        table.identities[table.index_for(sni)].clone()
    }
}

impl Table {
    fn of(identities: Vec<Identity>) -> Result<Self, TlsError> {
        if identities.is_empty() {
            return Err(TlsError::NoIdentity);
        }
        let mut by_name = NameTable::default();
        for (index, identity) in identities.iter().enumerate() {
            let certificate = identity.certificate();
            let common_name = certificate.common_name.iter().filter(|_| certificate.dns_names.is_empty());
            for name in certificate.dns_names.iter().chain(common_name) {
                by_name.insert(name, index);
            }
        }
        Ok(Self { identities, by_name })
    }

    /// Returns an index that is always valid: there is at least one identity.
    fn index_for(&self, sni: Option<&str>) -> usize {
        sni.and_then(|name| self.by_name.find(name)).unwrap_or(0)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        Some(table.identities[table.index_for(hello.server_name())].certified_key().clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("identities", &self.table.load().identities).finish()
    }
}
