//! Addresses that clients connect to.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

use crate::{AcceptProxyProtocol, ListenerCaps, ListenerTls};

/// An address that clients connect to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Name in metrics and messages.
    pub name: Spanned<String>,
    /// `ip:port`.
    pub address: Spanned<String>,
    /// TLS; without it the listener is plaintext HTTP/1.1.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Every connection begins with a PROXY header that names its client.
    #[serde(default)]
    pub proxy_protocol: Option<AcceptProxyProtocol>,
    /// Caps on its connections and requests.
    #[serde(default)]
    pub caps: ListenerCaps,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// PEM file, leaf first.
    pub certificate: Spanned<ConfigPath>,
    /// PEM file.
    pub key: Spanned<ConfigPath>,
}
