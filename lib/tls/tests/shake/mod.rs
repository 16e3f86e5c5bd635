//! One real handshake over loopback, with what both sides made of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tollgate_tls::PeerCertificate;

/// Generous: only a hang is caught by it.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the server saw of a connection.
#[derive(Debug)]
pub struct Accepted {
    pub peer: Option<PeerCertificate>,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub version: Option<ProtocolVersion>,
    pub resumed: bool,
}

/// What the client saw of it.
#[derive(Debug)]
pub struct Connected {
    pub server: PeerCertificate,
}

/// Connects once, as `name`. Both sides' results; the client reads to the end, so that it gets tickets and alerts.
pub async fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> (io::Result<Accepted>, io::Result<Connected>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await?;
        accept(server, stream).await
    };
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = TlsConnector::from(client.clone()).connect(name, stream).await?;
        let peer = tls.get_ref().1.peer_certificates().unwrap()[0].clone();
        let mut greeting = Vec::new();
        tls.read_to_end(&mut greeting).await?;
        tls.shutdown().await?;
        Ok(Connected { server: PeerCertificate::parse(&peer).unwrap() })
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(serve, connect) }).await.unwrap()
}

/// What a server makes of bytes that are sent to it, with the connection closed after them.
pub async fn send(server: &Arc<ServerConfig>, bytes: &[u8]) -> io::Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    tokio::time::timeout(DEADLINE, accept(server, stream)).await.unwrap().unwrap_err()
}

async fn accept(server: &Arc<ServerConfig>, stream: TcpStream) -> io::Result<Accepted> {
    let mut tls = TlsAcceptor::from(server.clone()).accept(stream).await?;
    let connection = tls.get_ref().1;
    let accepted = Accepted {
        peer: connection.peer_certificates().map(|chain| PeerCertificate::parse(&chain[0]).unwrap()),
        sni: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        version: connection.protocol_version(),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    tls.write_all(b"hello").await?;
    tls.shutdown().await?;
    // Waiting for the client's end keeps a reset from overtaking the greeting.
    let _ = tls.read_to_end(&mut Vec::new()).await;
    Ok(accepted)
}
