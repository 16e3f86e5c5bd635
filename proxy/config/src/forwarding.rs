//! Who the client is, and what upstreams are told about it.

use serde::{Deserialize, Serialize};
use tollgate_config::Spanned;

/// Who the client is, and what upstreams are told about it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forwarding {
    /// Networks of proxies in front of this one, whose X-Forwarded-For and Forwarded are believed.
    pub trusted_hops: Vec<Spanned<String>>,
    /// Send X-Forwarded-For, -Proto and -Host upstream.
    pub x_forwarded: bool,
    /// Send the Forwarded header of RFC 7239 upstream.
    pub forwarded: bool,
    /// Send Via upstream.
    pub via: bool,
    /// Fields that tell upstreams of the client's verified certificate.
    pub client_cert: ClientCertFields,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            trusted_hops: Vec::new(),
            x_forwarded: true,
            forwarded: false,
            via: false,
            client_cert: ClientCertFields::None,
        }
    }
}

/// Fields that tell an upstream of the verified client certificate. A client cannot set any of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ClientCertFields {
    /// No field.
    #[default]
    #[serde(rename = "none")]
    None,
    /// X-Client-Cert-Subject, -Issuer, -Serial, -Sha256 and -Not-After.
    #[serde(rename = "x-client-cert")]
    XClientCert,
    /// Client-Cert (RFC 9440): the certificate itself.
    #[serde(rename = "client-cert")]
    ClientCert,
}
