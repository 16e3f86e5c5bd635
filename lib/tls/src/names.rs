//! Which certificate the clients of a listener must show, by the server name that they ask for.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::name_table::NameTable;
use crate::{Certificates, ClientAuth, TlsError, TlsVersions, server_with};

/// Index of the policy for clients that ask for no name, or for one that has none of its own.
const DEFAULT: usize = 0;

/// A listener's policies by server name: exact names win over `*.name`, which stands for one label.
///
/// Each policy is a server configuration of its own with a ticketer of its own, so no session that was opened under one
/// can resume under another: an anonymous session stays anonymous.
#[derive(Debug)]
pub struct ServerNames {
    policies: Vec<Arc<ServerPolicy>>,
    by_name: NameTable<usize>,
}

/// The policy of some names: what is asked of clients. It compares by value, without the certificates shown to them.
#[derive(Debug)]
pub struct ServerPolicy {
    client_auth: ClientAuth,
    versions: TlsVersions,
    alpn: Vec<String>,
    config: Arc<ServerConfig>,
}

impl ServerPolicy {
    /// Returns the configuration for a connection.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns whether clients are asked for a certificate.
    pub fn asks_for_certificate(&self) -> bool {
        self.client_auth != ClientAuth::None
    }
}

impl PartialEq for ServerPolicy {
    fn eq(&self, other: &Self) -> bool {
        (&self.client_auth, self.versions, &self.alpn) == (&other.client_auth, other.versions, &other.alpn)
    }
}

impl Eq for ServerPolicy {}

impl ServerNames {
    /// Makes the policies of a listener: `default` is for every name that none of `named` lists.
    ///
    /// # Errors
    /// A name stands under two policies, or the roots or revocation lists of one cannot be used.
    pub fn new(
        certificates: &Arc<Certificates>,
        default: ClientAuth,
        named: Vec<(Vec<String>, ClientAuth)>,
        alpn: &[&str],
        versions: TlsVersions,
    ) -> Result<Self, TlsError> {
        let policy = |client_auth: ClientAuth| -> Result<Arc<ServerPolicy>, TlsError> {
            let config = server_with(certificates.clone(), client_auth.clone(), alpn, versions)?;
            let alpn = alpn.iter().map(|&name| name.to_owned()).collect();
            Ok(Arc::new(ServerPolicy { client_auth, versions, alpn, config }))
        };
        let (mut policies, mut by_name) = (vec![policy(default)?], NameTable::default());
        for (names, client_auth) in named {
            for name in names {
                if by_name.insert(&name, policies.len()).is_some() {
                    return Err(TlsError::NameTwice { name });
                }
            }
            policies.push(policy(client_auth)?);
        }
        Ok(Self { policies, by_name })
    }

    /// Returns the policy for a server name.
    pub fn policy(&self, name: Option<&str>) -> &Arc<ServerPolicy> {
        let index = name.and_then(|name| self.by_name.find(name)).unwrap_or(DEFAULT);
        &self.policies[index]
    }

    /// Returns whether every name has the same policy.
    pub fn is_uniform(&self) -> bool {
        self.policies.len() == 1
    }

    /// Returns whether this is the policy of names that have none of their own.
    pub fn is_default(&self, policy: &ServerPolicy) -> bool {
        std::ptr::eq(&raw const *self.policies[DEFAULT], policy)
    }

    /// Takes over the tickets of each policy of `before` that has the same index and is equal, so that its sessions
    /// resume after a reload. Where a root or a revocation list has changed, every client must show its certificate
    /// again.
    #[must_use]
    pub fn resuming(mut self, before: &Self) -> Self {
        for (policy, earlier) in self.policies.iter_mut().zip(&before.policies) {
            if policy != earlier {
                continue;
            }
            let mut config = (*policy.config).clone();
            config.ticketer = earlier.config.ticketer.clone();
            config.session_storage = earlier.config.session_storage.clone();
            let (client_auth, versions, alpn) = (policy.client_auth.clone(), policy.versions, policy.alpn.clone());
            *policy = Arc::new(ServerPolicy { client_auth, versions, alpn, config: Arc::new(config) });
        }
        self
    }
}
