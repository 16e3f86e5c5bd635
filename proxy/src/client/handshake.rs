//! The TLS handshake with a client: policy and certificate by server name, and the facts of the session.

use std::io;
use std::sync::Arc;

use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::{CertificateError, CommonState, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_clock::now_us;
use tollgate_proxy_config::ClientCertFields;
use tollgate_proxy_http::client_cert;
use tollgate_tls::{PeerCertificate, ServerNames, ServerPolicy, TlsStream};

use crate::transaction::TlsFacts;

/// Room for a read of the client's hello, which has a few hundred bytes most of the time.
const HELLO_BYTES: usize = 4_096;

/// Shakes hands under the policy of the name that the client asks for. The name is noted in `facts` as soon as it is
/// known, so that the record of a failure has it; the rest once the handshake is done.
///
/// # Errors
/// The handshake failed; [`tollgate_tls::handshake_failure_reason`] names the reason.
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
    // Which session it is follows from the hello, so the session has to read the hello again.
    let mut stream = Box::new(TlsStream::new(stream, session, hello));
    stream.shake().await?;
    facts.policy = Some(policy);
    note(stream.session(), fields, facts)?;
    Ok(stream)
}

/// Reads the client's hello into `hello`, and returns the policy of the server name in it.
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
        // The acceptor reads what it has room for, and refuses a hello that is too long.
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
                    // Best effort: the reason reported is the handshake's, whether or not the alert arrives.
                    drop(stream.write_all(&said).await);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }
}

/// Notes the facts of a session.
fn note(connection: &CommonState, fields: ClientCertFields, facts: &mut TlsFacts) -> io::Result<()> {
    facts.version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "other",
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls writes TLS13_ where IANA writes TLS_.
    facts.cipher = cipher.unwrap_or_default().replace("TLS13_", "TLS_");
    facts.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    facts.alpn = connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let Some(der) = connection.peer_certificates().and_then(|chain| chain.first()) else { return Ok(()) };
    let certificate = match PeerCertificate::parse(der) {
        Ok(certificate) => certificate,
        // Records and routes go by the certificate's content, so one that cannot be read is refused.
        Err(_) => return Err(io::Error::other(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))),
    };
    // rustls does not check the certificate of a resumed session again.
    if facts.resumed && certificate.not_after_us < now_us() {
        return Err(io::Error::other(rustls::Error::InvalidCertificate(CertificateError::Expired)));
    }
    let PeerCertificate { subject, issuer, serial_hex, sha256, not_after_us, .. } = &certificate;
    let told = client_cert::Certificate { subject, issuer, serial_hex, sha256, not_after_us: *not_after_us, der };
    facts.client_fields = client_cert::fields(fields, &told);
    facts.client = Some(Arc::new(certificate));
    Ok(())
}
