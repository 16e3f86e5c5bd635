//! A compiled upstream identity.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tollgate_proxy_config::{Protocol, ProxyProtocol};
use tollgate_tls::ClientPolicy;

use crate::health::UpstreamState;

/// Address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp(String, u16),
    /// The path of a socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Everything that makes two upstream connections interchangeable. Compared by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    /// Address of the upstream.
    pub endpoint: Endpoint,
    /// Trusted authorities, verification, client certificate, versions and ALPN, with the name that is verified and
    /// sent as SNI.
    pub tls: Option<(ClientPolicy, ServerName<'static>)>,
    /// Protocol towards the upstream.
    pub protocol: Protocol,
    /// PROXY header that its connections begin with.
    pub proxy_protocol: ProxyProtocol,
}

/// One upstream identity, with what all workers know of it.
#[derive(Debug)]
pub struct UpstreamConfig {
    /// The identity.
    pub key: UpstreamKey,
    /// TLS made from the identity.
    pub tls: Option<Arc<ClientConfig>>,
    /// The same, offering HTTP/1.1 alone: for connections that switch protocols.
    pub tls_http1: Option<Arc<ClientConfig>>,
    /// Health of the upstream, and its counts: a handle that equal identities of consecutive configurations share.
    pub state: UpstreamState,
}
