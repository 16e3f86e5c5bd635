//! The TLS handshake with a client: policy and certificate by server name, and what a record says of the session.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use rustls::{CertificateError, HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tollgate_tls::{PeerCertificate, ServerNames};

use crate::client_cert;
use crate::config::ClientCertFields;
use crate::connection::TlsFacts;
use crate::transaction::now_us;

/// Shakes hands under the policy of the name that the client asks for. `facts` has the name as soon as it is known, so
/// that a failure has it too; everything else once the handshake is done.
///
/// # Errors
/// What [`tollgate_tls::handshake_failure_reason`] has a word for.
pub async fn shake(
    stream: TcpStream,
    names: &ServerNames,
    fields: ClientCertFields,
    facts: &mut TlsFacts,
) -> io::Result<Box<TlsStream<TcpStream>>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    facts.sni = start.client_hello().server_name().map(str::to_owned);
    let policy = names.policy(facts.sni.as_deref()).clone();
    let stream = Box::new(start.into_stream(policy.config().clone()).await?);
    facts.policy = Some(policy);
    note(stream.get_ref().1, fields, facts)?;
    Ok(stream)
}

fn note(connection: &ServerConnection, fields: ClientCertFields, facts: &mut TlsFacts) -> io::Result<()> {
    facts.version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "other",
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls says TLS13_ where IANA says TLS_.
    facts.cipher = cipher.unwrap_or_default().replace("TLS13_", "TLS_");
    facts.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    facts.alpn = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let Some(der) = connection.peer_certificates().and_then(|chain| chain.first()) else { return Ok(()) };
    let certificate = match PeerCertificate::parse(der) {
        Ok(certificate) => certificate,
        // The record and the routes go by what it says: a certificate that cannot be read is none.
        Err(_) => return Err(io::Error::other(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))),
    };
    // rustls does not look at the certificate of a resumed session again.
    if facts.resumed && certificate.not_after_us < now_us() {
        return Err(io::Error::other(rustls::Error::InvalidCertificate(CertificateError::Expired)));
    }
    facts.client_fields = client_cert::fields(fields, &certificate, der);
    facts.client = Some(Arc::new(certificate));
    Ok(())
}
