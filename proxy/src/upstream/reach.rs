//! The socket to an upstream: resolve, connect, PROXY header, TLS.
//!
//! Several addresses of a name are tried in the order of [`dns::order`], each [`ATTEMPT_DELAY`] after the one before or
//! as soon as that one fails (RFC 8305 section 5). The first to answer is kept.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tollgate_proxy_config::Protocol;
use tollgate_record::vocabulary::ErrorClass;

use crate::plan::{Endpoint, UpstreamConfig};
use crate::upstream::dns::{self, Resolver};
use crate::upstream::facts::Stage;
use crate::upstream::{Fault, PeerAddr, UpstreamError, UpstreamFacts};

/// From one attempt to the next, where a name has several addresses (RFC 8305 section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connected socket.
pub enum Socket {
    /// Plaintext over TCP.
    Tcp(TcpStream),
    /// Plaintext over a UNIX socket.
    Unix(UnixStream),
    /// TLS over TCP, and whether HTTP/2 was agreed on.
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>, bool),
}

/// Connects to an upstream. The socket is ready for HTTP.
///
/// # Errors
/// The upstream cannot be reached. Nothing was sent.
pub async fn reach(
    resolver: &Resolver,
    upstream: &UpstreamConfig,
    tunnel: bool,
    header: &[u8],
    deadline: Instant,
    facts: &mut UpstreamFacts,
) -> Result<(Socket, PeerAddr), UpstreamError> {
    let (host, port) = match &upstream.key.endpoint {
        Endpoint::Tcp(host, port) => (host, *port),
        Endpoint::Unix(path) => {
            let addr = PeerAddr::Unix(path.as_path().into());
            facts.addr = Some(addr.clone());
            facts.enter(Stage::Connect);
            let connected = timeout_at(deadline.into(), async {
                let mut stream = UnixStream::connect(path).await?;
                stream.write_all(header).await?;
                Ok(stream)
            });
            let stream = connected
                .await
                .map_err(|_| UpstreamError::connect_timeout())?
                .map_err(|error| connect_error(&error))?;
            return Ok((Socket::Unix(stream), addr));
        }
    };
    facts.enter(Stage::Dns);
    let resolved = timeout_at(deadline.into(), resolver.resolve(host)).await;
    let resolved = resolved
        .map_err(|_| UpstreamError::timeout(ErrorClass::Dns, format!("resolving {host} took too long")))?
        .map_err(|error| dns_error(host, &error))?;
    match resolved.waited {
        true => facts.leave(),
        false => facts.skip(),
    }
    let addresses = dns::order(&resolved.addresses, port, resolver.turn());
    facts.addr = addresses.first().copied().map(PeerAddr::Tcp);
    facts.enter(Stage::Connect);
    let connected = timeout_at(deadline.into(), async {
        let (mut stream, addr) = connect_any(&addresses).await?;
        stream.set_nodelay(true)?;
        stream.write_all(header).await?;
        Ok((stream, addr))
    });
    let (stream, addr) =
        connected.await.map_err(|_| UpstreamError::connect_timeout())?.map_err(|error| connect_error(&error))?;
    let addr = PeerAddr::Tcp(addr);
    facts.addr = Some(addr.clone());
    facts.leave();
    Ok((secure(upstream, stream, tunnel, deadline, facts).await?, addr))
}

/// Connects to the first address that accepts.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    if let [only] = addresses {
        return Ok((TcpStream::connect(only).await?, *only));
    }
    let mut rest = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(next) = rest.next() {
            attempts.spawn_local(async move { TcpStream::connect(next).await.map(|stream| (stream, next)) });
        }
        let more = rest.len() > 0;
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(error))) => last = error,
                Some(Err(error)) => last = io::Error::other(error),
                None => return Err(last),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

/// Shakes hands, where the upstream is reached over TLS.
async fn secure(
    upstream: &UpstreamConfig,
    stream: TcpStream,
    tunnel: bool,
    deadline: Instant,
    facts: &mut UpstreamFacts,
) -> Result<Socket, UpstreamError> {
    let config = if tunnel { &upstream.tls_http1 } else { &upstream.tls };
    let (Some(config), Some((_, name))) = (config, &upstream.key.tls) else { return Ok(Socket::Tcp(stream)) };
    facts.enter(Stage::Tls);
    let connector = TlsConnector::from(config.clone());
    let handshake = timeout_at(deadline.into(), connector.connect(name.clone(), stream)).await;
    facts.leave();
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let reason = tollgate_tls::handshake_failure_reason(&error);
            let detail = format!("TLS with {} as {} failed ({reason}): {error}", upstream.state.name, name.to_str());
            return Err(UpstreamError::unreachable(ErrorClass::UpstreamTls, detail));
        }
        Err(_) => return Err(UpstreamError::timeout(ErrorClass::UpstreamTls, "TLS with the upstream took too long")),
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if upstream.key.protocol == Protocol::Http2 && !http2 && !tunnel {
        let detail = "the upstream does not agree to HTTP/2 by ALPN; write `protocol: auto` or `http1`";
        return Err(UpstreamError::unreachable(ErrorClass::UpstreamTls, detail));
    }
    Ok(Socket::Tls(Box::new(stream), http2))
}

fn dns_error(host: &str, error: &io::Error) -> UpstreamError {
    let error = UpstreamError::unreachable(ErrorClass::Dns, format!("{host} cannot be resolved: {error}"));
    // The resolver is the gateway's own dependency: the API's owner cannot mend it.
    UpstreamError { fault: Fault::Gateway, ..error }
}

fn connect_error(error: &io::Error) -> UpstreamError {
    match error.kind() {
        io::ErrorKind::TimedOut => UpstreamError::connect_timeout(),
        _ => {
            let detail = format!("the upstream cannot be connected to: {error}");
            UpstreamError::unreachable(ErrorClass::ConnectRefused, detail)
        }
    }
}
