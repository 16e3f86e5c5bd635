//! Addresses that clients connect to.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

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
    /// Set if every connection begins with a PROXY header.
    #[serde(default)]
    pub proxy_protocol: Option<AcceptProxyProtocol>,
    /// Caps on its connections and requests.
    #[serde(default)]
    pub caps: ListenerCaps,
}
