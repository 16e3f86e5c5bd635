//! The PROXY protocol: what a listener accepts, and what a service is sent.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// PROXY headers that a listener accepts, and the peers that may send them.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptProxyProtocol {
    /// Versions that are accepted.
    #[serde(default)]
    pub accept: AcceptedVersion,
    /// Networks of the proxies in front, whose headers are believed. A connection from elsewhere is closed.
    pub from: Spanned<Vec<Spanned<String>>>,
}

/// Versions of the PROXY protocol that are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptedVersion {
    /// Version 1, as text.
    V1,
    /// Version 2, binary.
    V2,
    /// Either.
    #[default]
    Any,
}

/// PROXY header in which an upstream learns of the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// No header.
    #[default]
    None,
    /// Version 1, as text.
    V1,
    /// Version 2, binary.
    V2,
}
