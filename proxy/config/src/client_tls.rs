//! TLS towards clients.

use serde::{Deserialize, Serialize};
use tollgate_config::{ConfigPath, Spanned};

use crate::KeyPair;

/// TLS of a listener.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Certificates, of which SNI chooses one. The first one answers clients that send no name or an unknown one.
    pub certificates: Vec<KeyPair>,
    /// Whether clients are asked for a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// PEM file with the authorities that client certificates must come from.
    #[serde(default)]
    pub client_ca: Option<Spanned<ConfigPath>>,
    /// Revocation lists for client certificates.
    #[serde(default)]
    pub client_crl: Option<ClientCrl>,
    /// Server names with a `client_auth` of their own.
    #[serde(default)]
    pub names: Vec<NamedAuth>,
    /// Lowest protocol version.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether to offer HTTP/2.
    #[serde(default = "crate::default_true")]
    pub http2: bool,
}

/// Client authentication for some server names.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamedAuth {
    /// `api.example.com`, or `*.example.com` for exactly one label.
    pub names: Vec<Spanned<String>>,
    /// See [`ListenerTls::client_auth`].
    pub client_auth: ClientAuth,
    /// See [`ListenerTls::client_ca`].
    #[serde(default)]
    pub client_ca: Option<Spanned<ConfigPath>>,
    /// See [`ListenerTls::client_crl`].
    #[serde(default)]
    pub client_crl: Option<ClientCrl>,
}

/// Revocation lists for client certificates.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCrl {
    /// PEM files with one list or more each.
    pub files: Vec<Spanned<ConfigPath>>,
    /// Treatment of a certificate whose issuer has no list in these files.
    #[serde(default)]
    pub unknown: CrlGap,
    /// Treatment of a certificate whose list is past its `nextUpdate`.
    #[serde(default = "accept")]
    pub expired: CrlGap,
}

/// Treatment of a certificate whose revocation is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CrlGap {
    /// The handshake fails.
    #[default]
    Refuse,
    /// The certificate counts as not revoked.
    Accept,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Clients are not asked.
    #[default]
    None,
    /// Clients are asked, and a certificate that they send is verified.
    Optional,
    /// A handshake without a valid one fails.
    Required,
}

/// A TLS protocol version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

fn accept() -> CrlGap {
    CrlGap::Accept
}
