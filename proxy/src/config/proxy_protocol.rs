//! The PROXY protocol on a listener.

use serde::{Deserialize, Serialize};
use tollgate_config::{Diagnostics, Spanned};

use super::compile::noted;
use super::plan::Cidr;
use crate::client::proxy_header::ProxyHeaders;

/// Which PROXY headers a listener takes, and from whom.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptProxyProtocol {
    /// Versions that are accepted.
    #[serde(default)]
    pub accept: AcceptedVersion,
    /// Networks of the proxies in front, whose headers are believed: anybody else's connection is closed.
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

/// Compiles it.
pub(super) fn headers(config: &AcceptProxyProtocol, problems: &mut Diagnostics<'_>) -> ProxyHeaders {
    if config.from.value.is_empty() {
        let cure = "name the networks of the proxies in front, as `10.0.0.0/8`; `0.0.0.0/0` and `::/0` are everybody";
        problems.at(&config.from, format!("nobody may connect; {cure}"));
    }
    let from = config.from.value.iter().filter_map(|network| noted(network, Cidr::parse(network), problems)).collect();
    ProxyHeaders { accepted: config.accept, from }
}
