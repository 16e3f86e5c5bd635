//! Fields that tell an upstream of the verified client certificate. A client cannot set any of them itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tollgate_proxy_config::ClientCertFields;

/// The beginning of Client-Cert and Client-Cert-Chain (RFC 9440).
const CLIENT_CERT: &str = "client-cert";
/// The beginning of the customary fields' names.
const X_CLIENT_CERT: &str = "x-client-cert";

/// Returns whether a field of this name speaks of the client's certificate.
#[must_use]
pub fn is_field(name: &str) -> bool {
    name.starts_with(X_CLIENT_CERT) || name.starts_with(CLIENT_CERT)
}

/// The parts of a client's certificate that upstreams learn of.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// Distinguished name of the subject.
    pub subject: &'a str,
    /// Distinguished name of the issuer.
    pub issuer: &'a str,
    /// Serial number, in hexadecimal.
    pub serial_hex: &'a str,
    /// SHA-256 of `der`.
    pub sha256: &'a [u8],
    /// End of its validity, in microseconds since 1970.
    pub not_after_us: i64,
    /// The certificate itself.
    pub der: &'a [u8],
}

/// Returns the fields that tell an upstream of a certificate. Made once a connection.
#[must_use]
pub fn fields(kind: ClientCertFields, certificate: &Certificate<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let named = |name: &'static str, text: &str| (HeaderName::from_static(name), value(text));
    match kind {
        ClientCertFields::None => Vec::new(),
        // RFC 9440 carries the certificate as a byte sequence of RFC 8941: base64 between colons.
        ClientCertFields::ClientCert => vec![named(CLIENT_CERT, &format!(":{}:", STANDARD.encode(certificate.der)))],
        ClientCertFields::XClientCert => {
            let sha256: String = certificate.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![
                named("x-client-cert-subject", certificate.subject),
                named("x-client-cert-issuer", certificate.issuer),
                named("x-client-cert-serial", certificate.serial_hex),
                named("x-client-cert-sha256", &sha256),
                named("x-client-cert-not-after", &certificate.not_after_us.div_euclid(1_000_000).to_string()),
            ]
        }
    }
}

/// Sets the fields in a head.
pub fn write(headers: &mut HeaderMap, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        headers.insert(name, value.clone());
    }
}

/// A text as the value of a field.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(&ascii(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Percent-encodes whatever is not visible ASCII, and `%` itself: no name in a certificate can break out of its field.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_carried_without_ambiguity() {
        assert_eq!(ascii("CN=Zoë,O=5% \r\nX: 1"), "CN=Zo%C3%AB,O=5%25 %0D%0AX: 1");
        for (name, is) in
            [("client-cert", true), ("client-cert-chain", true), ("x-client-cert-serial", true), ("client", false)]
        {
            assert_eq!(is_field(name), is, "{name}");
        }
    }
}
