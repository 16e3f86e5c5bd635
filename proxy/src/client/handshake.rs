//! The TLS handshake with a client: policy and certificate by server name, and what a record says of the session.

use std::io;
use std::sync::Arc;

use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::{CertificateError, CommonState, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_tls::{PeerCertificate, ServerNames, ServerPolicy};

use crate::client::connection::TlsFacts;
use crate::client::tls_stream::TlsStream;
use crate::client_cert;
use crate::config::ClientCertFields;
use crate::transaction::now_us;

/// Room for a read of the client's first words, which are a few hundred bytes most of the time.
const HELLO_BYTES: usize = 4_096;

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
) -> io::Result<Box<TlsStream>> {
    let (mut stream, mut hello) = (stream, Vec::new());
    let policy = policy(&mut stream, names, facts, &mut hello).await?;
    let session = UnbufferedServerConnection::new(policy.config().clone())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    // The session reads the client's first words again: which one it is follows from them.
    let mut stream = Box::new(TlsStream::new(stream, session, hello));
    stream.shake().await?;
    facts.policy = Some(policy);
    note(stream.session(), fields, facts)?;
    Ok(stream)
}

/// Reads the client's hello, for the policy of the name in it. `hello` has all that was read.
async fn policy(
    stream: &mut TcpStream,
    names: &ServerNames,
    facts: &mut TlsFacts,
    hello: &mut Vec<u8>,
) -> io::Result<Arc<ServerPolicy>> {
    let mut acceptor = Acceptor::default();
    let mut looked_at = 0;
    loop {
        hello.reserve(HELLO_BYTES);
        if stream.read_buf(hello).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // It takes what it has room for, and refuses a hello that is longer than any may be.
        while looked_at < hello.len() {
            looked_at += acceptor.read_tls(&mut &hello[looked_at..])?;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    facts.sni = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(names.policy(facts.sni.as_deref()).clone());
                }
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut said = Vec::new();
                    alert.write_all(&mut said)?;
                    // That it may not arrive is no reason to say another reason.
                    drop(stream.write_all(&said).await);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }
}

fn note(connection: &CommonState, fields: ClientCertFields, facts: &mut TlsFacts) -> io::Result<()> {
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
    let PeerCertificate { subject, issuer, serial_hex, sha256, not_after_us, .. } = &certificate;
    let told = client_cert::Certificate { subject, issuer, serial_hex, sha256, not_after_us: *not_after_us, der };
    facts.client_fields = client_cert::fields(fields, &told);
    facts.client = Some(Arc::new(certificate));
    Ok(())
}
