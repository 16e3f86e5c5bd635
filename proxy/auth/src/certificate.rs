//! What names a consumer in a client certificate.

use std::fmt;
use std::net::IpAddr;

/// One thing by which a certificate is a consumer's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// SHA-256 of the certificate.
    Sha256([u8; 32]),
    /// URI of the subject alternative name, exactly.
    Uri(String),
    /// DNS name of the subject alternative name, in lower case. A wildcard stands for itself alone.
    Dns(String),
    /// E-mail address of the subject alternative name; the domain is in lower case.
    Email(String),
    /// Address of the subject alternative name.
    Ip(IpAddr),
    /// Common name of the subject, exactly.
    CommonName(String),
}

/// The parts of a verified certificate by which its consumer is found.
#[derive(Debug, Clone, Copy)]
pub struct CertificateFacts<'a> {
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// URIs of the subject alternative name.
    pub uris: &'a [String],
    /// DNS names of the subject alternative name.
    pub dns: &'a [String],
    /// E-mail addresses of the subject alternative name.
    pub emails: &'a [String],
    /// Addresses of the subject alternative name.
    pub ips: &'a [IpAddr],
    /// Common name of the subject.
    pub common_name: Option<&'a str>,
}

impl Selector {
    /// A DNS name, whatever its case.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }

    /// An e-mail address, whatever the case of its domain (RFC 5280 section 7.5).
    #[must_use]
    pub fn email(address: &str) -> Self {
        match address.rsplit_once('@') {
            Some((local, domain)) => Self::Email(format!("{local}@{}", domain.to_ascii_lowercase())),
            None => Self::Email(address.to_owned()),
        }
    }
}

impl<'a> CertificateFacts<'a> {
    /// Everything by which the certificate may be a consumer's, the most specific first.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> + use<'a> {
        std::iter::once(Selector::Sha256(self.sha256))
            .chain(self.uris.iter().map(|uri| Selector::Uri(uri.clone())))
            .chain(self.dns.iter().map(|name| Selector::dns(name)))
            .chain(self.emails.iter().map(|address| Selector::email(address)))
            .chain(self.ips.iter().map(|ip| Selector::Ip(*ip)))
            .chain(self.common_name.map(|name| Selector::CommonName(name.to_owned())))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => {
                f.write_str("sha256:")?;
                sha256.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Email(address) => write!(f, "email:{address}"),
            Self::Ip(ip) => write!(f, "ip:{ip}"),
            Self::CommonName(name) => write!(f, "cn:{name}"),
        }
    }
}
