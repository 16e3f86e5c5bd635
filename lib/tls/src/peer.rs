//! The facts of a certificate for records and permissions.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// The facts of a certificate, as far as records and permissions need them.
///
/// Parsing proves nothing: the handshake decides whether the certificate is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of the DER: its fingerprint.
    pub sha256: [u8; 32],
    /// Subject as in RFC 4514, the most specific part first: `CN=orders,O=Example,C=CH`.
    pub subject: String,
    /// Issuer, in the same form.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal without separators and without leading zero bytes.
    pub serial_hex: String,
    /// End of its validity, in microseconds since 1970.
    pub not_after_us: i64,
    /// DNS names of the subject alternative name, lower case, in the certificate's order.
    pub dns_names: Vec<String>,
    /// URIs of the subject alternative name, as `spiffe://example.org/orders`.
    pub uris: Vec<String>,
    /// E-mail addresses of the subject alternative name.
    pub emails: Vec<String>,
    /// Addresses of the subject alternative name.
    pub addresses: Vec<IpAddr>,
    /// The last common name of the subject, if it has one.
    pub common_name: Option<String>,
}

/// A certificate that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate: {0}")]
pub struct PeerCertificateError(String);

impl PeerCertificate {
    /// Parses the DER of one certificate.
    ///
    /// # Errors
    /// The bytes are not one X.509 certificate. It never panics, whatever the bytes are.
    pub fn parse(der: &[u8]) -> Result<Self, PeerCertificateError> {
        Self::parse_with_start(der).map(|(certificate, _)| certificate)
    }

    /// Returns the certificate, and the beginning of its validity in microseconds since 1970.
    pub(crate) fn parse_with_start(der: &[u8]) -> Result<(Self, i64), PeerCertificateError> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|error| PeerCertificateError(error.to_string()))?;
        if !rest.is_empty() {
            return Err(PeerCertificateError(format!("{} bytes follow it", rest.len())));
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, der).as_ref());
        let certificate = Self {
            sha256,
            subject: name(x509.subject()),
            issuer: name(x509.issuer()),
            serial_hex: serial(x509.raw_serial()),
            not_after_us: x509.validity().not_after.timestamp().saturating_mul(1_000_000),
            dns_names: alternatives(&x509, |name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            }),
            uris: alternatives(&x509, |name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            }),
            emails: alternatives(&x509, |name| match name {
                GeneralName::RFC822Name(address) => Some((*address).to_owned()),
                _ => None,
            }),
            addresses: alternatives(&x509, |name| match name {
                GeneralName::IPAddress(bytes) => address(bytes),
                _ => None,
            }),
            common_name: x509.subject().iter_common_name().last().map(value),
        };
        Ok((certificate, x509.validity().not_before.timestamp().saturating_mul(1_000_000)))
    }
}

/// The alternative names of one kind.
fn alternatives<T>(x509: &X509Certificate<'_>, kind: impl Fn(&GeneralName<'_>) -> Option<T>) -> Vec<T> {
    let Ok(Some(names)) = x509.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(kind).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn serial(raw: &[u8]) -> String {
    let significant = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len().saturating_sub(1));
    raw[significant..].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4514, section 2: the parts in reverse order, several attributes of one part joined with `+`.
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// Short names of RFC 4514, section 3, and the e-mail address, which is usual; others are dotted numbers.
const SHORT_NAMES: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(number, _)| *number == oid).map(|(_, short)| *short);
    format!("{}={}", short.unwrap_or(&oid), escaped(&value(attribute)))
}

/// The text of a value; bytes that are none of the string types become `#` and hexadecimal.
fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let hex: String = attribute.as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("#{hex}")
        }
    }
}

/// RFC 4514, section 2.4; control characters are written as `\XX` as well, so that no name can break a line of text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        let edge = (index == 0 && (c == ' ' || c == '#')) || (index == last && c == ' ');
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("\\{byte:02X}"));
            }
        } else if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
            out.push(c);
        } else {
            out.push(c);
        }
    }
    out
}
