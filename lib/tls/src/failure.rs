//! Why a handshake failed, as one word for records and metrics.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Returns the reason as one word of a closed list.
///
/// | word | meaning |
/// |---|---|
/// | `cert_expired` | the peer's certificate is expired or not yet valid |
/// | `cert_unknown_ca` | no trusted root vouches for the peer's certificate |
/// | `cert_revoked` | the peer's certificate is revoked |
/// | `no_certificate` | the peer showed no certificate where one is required |
/// | `crl_unknown` | no revocation list of the certificate's issuer is at hand |
/// | `crl_expired` | the revocation list of the certificate's issuer should have been renewed |
/// | `bad_signature` | a signature in the peer's chain or handshake is wrong |
/// | `unsupported_version` | no TLS version in common |
/// | `no_shared_cipher` | no cipher suite, key exchange or signature algorithm in common |
/// | `no_shared_protocol` | no application protocol (ALPN) in common |
/// | `not_tls` | the peer does not speak TLS, for example plain HTTP |
/// | `timeout` | the handshake took too long |
/// | `closed` | the peer went away |
/// | `other` | anything else |
///
/// A fatal alert from the peer is the peer's judgement on *our* side and is told apart by the prefix `peer_`:
/// `peer_cert_expired`, `peer_cert_unknown_ca`, `peer_cert_revoked`, `peer_no_certificate`, `peer_bad_signature`,
/// `peer_unsupported_version`, `peer_alert`.
pub fn handshake_failure_reason(error: &io::Error) -> &'static str {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return tls_reason(tls);
    }
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timeout",
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected => "closed",
        _ => "other",
    }
}

fn tls_reason(error: &Error) -> &'static str {
    match error {
        Error::NoCertificatesPresented => "no_certificate",
        Error::InvalidCertificate(certificate) => certificate_reason(certificate),
        Error::PeerIncompatible(
            // What a client of TLS 1.1 or before leaves out.
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "unsupported_version",
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon,
        ) => "no_shared_cipher",
        Error::NoApplicationProtocol => "no_shared_protocol",
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => "not_tls",
        Error::AlertReceived(alert) => alert_reason(*alert),
        _ => "other",
    }
}

fn certificate_reason(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "cert_expired",
        CertificateError::UnknownIssuer => "cert_unknown_ca",
        CertificateError::Revoked => "cert_revoked",
        CertificateError::UnknownRevocationStatus => "crl_unknown",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "crl_expired"
        }
        CertificateError::BadSignature => "bad_signature",
        _ => "other",
    }
}

fn alert_reason(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => "peer_cert_expired",
        AlertDescription::UnknownCA => "peer_cert_unknown_ca",
        AlertDescription::CertificateRevoked => "peer_cert_revoked",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => "peer_no_certificate",
        AlertDescription::DecryptError => "peer_bad_signature",
        AlertDescription::ProtocolVersion => "peer_unsupported_version",
        _ => "peer_alert",
    }
}
