//! Opening a connection: resolve, connect, say who the client is, TLS, HTTP.
//!
//! Several addresses of a name are tried in the order of [`crate::upstream::dns::order`], the next one [`ATTEMPT_DELAY`] after the
//! one before or as soon as that fails (RFC 8305 section 5); the first to answer is kept.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tollgate_record::vocabulary::{ErrorClass, Termination};

use super::shared::Shared;
use super::{Ends, Lease, PeerAddr, Rests, Sender, Wanted};
use crate::client::connection::{IoFacts, Watched};
use crate::config::{Endpoint, Http2, Protocol, UpstreamPlan};
use crate::refusal::Refusal;
use crate::runtime::worker::Worker;
use crate::transaction::{Stage, UpstreamFacts};
use crate::upstream::dns::Resolver;
use crate::upstream::pool::{OpenConnection, Slot};
use crate::worker_plan::WorkerPlan;
use tollgate_proxy_http::proxy_protocol::encode;

/// Bytes of a response head.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// From one attempt to the next, where a name has several addresses (RFC 8305 section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Streams begun before an HTTP/2 upstream has said how many it takes: those past it wait for its word, as a stream too
/// many would be refused.
const STREAMS_UNTOLD: usize = 1;

/// A connected socket, of whichever kind, with TLS or without.
pub enum Socket {
    /// Plaintext over TCP.
    Tcp(TcpStream),
    /// Plaintext over a UNIX socket.
    Unix(UnixStream),
    /// TLS over TCP; and whether HTTP/2 was agreed on.
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>, bool),
}

/// Opens a connection and takes a lease of it; one of HTTP/2 is there for others from then on.
///
/// # Errors
/// The refusal to answer with.
pub async fn dial(
    worker: &Rc<Worker>,
    plan: &Rc<WorkerPlan>,
    upstream: usize,
    wanted: &Wanted,
    deadline: Instant,
    open: OpenConnection,
    facts: &mut UpstreamFacts,
) -> Result<Box<Lease>, Refusal> {
    let slot = plan.pool.slot(upstream);
    let target = slot.upstream();
    let header = encode::header(target.key.proxy_protocol, wanted.client.0, wanted.client.1);
    let reached = reach(&worker.resolver, target, wanted.tunnel, &header, deadline, facts).await;
    facts.leave();
    let (socket, addr) = reached?;
    let http2 = match (&socket, target.key.protocol) {
        (Socket::Tls(_, http2), _) => *http2,
        (_, protocol) => protocol == Protocol::Http2,
    } && !wanted.tunnel;
    if !wanted.tunnel {
        slot.spoke_http2.set(Some(http2));
    }
    let opening = Opening {
        upstream,
        addr,
        client: (!header.is_empty()).then_some(wanted.client),
        changes: slot.changes(),
        epoch: worker.epoch,
        tunnel: wanted.tunnel,
    };
    let http = &plan.config.http2;
    let opened = match (socket, http2) {
        (Socket::Tcp(io), false) => opening.http1(io, open).await,
        (Socket::Unix(io), false) => opening.http1(io, open).await,
        (Socket::Tls(io, _), false) => opening.http1(*io, open).await,
        (Socket::Tcp(io), true) => opening.http2(io, open, slot, http).await,
        (Socket::Unix(io), true) => opening.http2(io, open, slot, http).await,
        (Socket::Tls(io, _), true) => opening.http2(*io, open, slot, http).await,
    };
    opened.map_err(|error| {
        Refusal::upstream(ErrorClass::UpstreamReset, format!("the upstream connection failed: {error}"))
    })
}

/// A socket to an upstream, ready for HTTP, and where it leads.
///
/// # Errors
/// The refusal to answer with.
pub async fn reach(
    resolver: &Resolver,
    upstream: &UpstreamPlan,
    tunnel: bool,
    header: &[u8],
    deadline: Instant,
    facts: &mut UpstreamFacts,
) -> Result<(Socket, PeerAddr), Refusal> {
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
            let stream = connected.await.map_err(|_| connect_timeout())?.map_err(|error| connect_refusal(&error))?;
            return Ok((Socket::Unix(stream), addr));
        }
    };
    facts.enter(Stage::Dns);
    let resolved = timeout_at(deadline.into(), resolver.resolve(host)).await;
    let resolved = resolved
        .map_err(|_| Refusal::timeout(ErrorClass::Dns, format!("resolving {host} took too long")))?
        .map_err(|error| dns_refusal(host, &error))?;
    match resolved.waited {
        true => facts.leave(),
        false => facts.stage = None,
    }
    let addresses = crate::upstream::dns::order(&resolved.addresses, port, resolver.turn());
    facts.addr = addresses.first().copied().map(PeerAddr::Tcp);
    facts.enter(Stage::Connect);
    let connected = timeout_at(deadline.into(), async {
        let (mut stream, addr) = connect_any(&addresses).await?;
        stream.set_nodelay(true)?;
        stream.write_all(header).await?;
        Ok((stream, addr))
    });
    let (stream, addr) = connected.await.map_err(|_| connect_timeout())?.map_err(|error| connect_refusal(&error))?;
    let addr = PeerAddr::Tcp(addr);
    facts.addr = Some(addr.clone());
    facts.leave();
    Ok((secure(upstream, stream, tunnel, deadline, facts).await?, addr))
}

/// The first of the addresses that can be connected to.
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

async fn secure(
    upstream: &UpstreamPlan,
    stream: TcpStream,
    tunnel: bool,
    deadline: Instant,
    facts: &mut UpstreamFacts,
) -> Result<Socket, Refusal> {
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
            return Err(Refusal::upstream(ErrorClass::UpstreamTls, detail));
        }
        Err(_) => return Err(Refusal::timeout(ErrorClass::UpstreamTls, "TLS with the upstream took too long")),
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if upstream.key.protocol == Protocol::Http2 && !http2 && !tunnel {
        let detail = "the upstream does not agree to HTTP/2 by ALPN; write `protocol: auto` or `http1`";
        return Err(Refusal::upstream(ErrorClass::UpstreamTls, detail));
    }
    Ok(Socket::Tls(Box::new(stream), http2))
}

/// A socket that is about to speak HTTP.
struct Opening {
    upstream: usize,
    addr: PeerAddr,
    client: Option<Ends>,
    changes: u32,
    epoch: Instant,
    tunnel: bool,
}

impl Opening {
    /// Starts HTTP/1.1; its task ends with the connection.
    async fn http1<IO>(self, stream: IO, open: OpenConnection) -> hyper::Result<Box<Lease>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Arc::new(IoFacts::default());
        let watched = TokioIo::new(Watched::new(stream, io.clone(), self.epoch, None));
        let (sender, connection) =
            // One buffer and one plain write a request: most have no body, and queueing what is small costs more than copying it.
            http1::Builder::new().max_buf_size(RESPONSE_HEAD_BYTES_MAX).writev(false).handshake(watched).await?;
        let (open, tunnel) = if self.tunnel { (None, Some(open)) } else { (Some(open), None) };
        let switches = tunnel.is_some();
        let rests = Rests::default();
        let (resting, facts) = (rests.clone(), io.clone());
        tokio::task::spawn_local(async move {
            // How the connection ends shows in the exchange that it carried.
            let _ended = match switches {
                true => connection.with_upgrades().await,
                false => drive(connection, &resting, &facts).await,
            };
            drop(open);
        });
        Ok(Box::new(Lease {
            sender: Sender::Http1(sender),
            io,
            upstream: self.upstream,
            addr: self.addr,
            reused: false,
            poolable: !switches,
            tunnel,
            opened_at: Instant::now(),
            requests: 0,
            client: self.client,
            changes: self.changes,
            stream: None,
            in_flight: None,
            rests: rests.into(),
        }))
    }

    /// Starts HTTP/2 and shares the connection.
    async fn http2<IO>(self, stream: IO, open: OpenConnection, slot: &Slot, config: &Http2) -> hyper::Result<Box<Lease>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Arc::new(IoFacts::default());
        let watched = Watched::new(Held { io: stream, _open: open }, io.clone(), self.epoch, None);
        let mut builder = http2::Builder::new(LocalTasks);
        builder
            .timer(TokioTimer::new())
            .initial_max_send_streams(STREAMS_UNTOLD)
            .max_header_list_size(config.header_list_bytes_max)
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes)
            .max_frame_size(config.frame_bytes_max)
            .max_send_buf_size(config.send_buffer_bytes)
            .keep_alive_interval(config.keepalive_interval.0)
            .keep_alive_timeout(config.keepalive_timeout.0);
        let (sender, connection) = builder.handshake(TokioIo::new(watched)).await?;
        let peer_streams_max = Rc::new(Cell::new(None));
        let told = (io.clone(), peer_streams_max.clone());
        tokio::task::spawn_local(async move {
            let mut connection = std::pin::pin!(connection);
            // How the connection ends shows in the exchanges that it carried.
            let _ended = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // The first thing that an upstream sends is how many streams it takes (RFC 9113 section 3.4).
                if told.0.read_bytes.load(Relaxed) > 0 {
                    told.1.set(Some(connection.current_max_send_streams()));
                }
                polled
            })
            .await;
        });
        let shared = Shared::new(sender, io, self.addr, self.client, peer_streams_max, self.changes);
        if !slot.is_closed() {
            slot.shared.borrow_mut().push(shared.clone());
        }
        Ok(shared.lease(self.upstream, slot.places().clone()))
    }
}

/// Runs an HTTP/1.1 connection. hyper wakes it once more when the last of a response is taken, for which it has nothing to
/// do: not asking it then spares a look at all that it could have.
async fn drive<C: Future + Unpin>(mut connection: C, rests: &Rests, io: &IoFacts) -> C::Output {
    std::future::poll_fn(|cx| match rests.is_so() && io.quiet.load(Acquire) {
        true => Poll::Pending,
        false => Pin::new(&mut connection).poll(cx),
    })
    .await
}

/// A socket of HTTP/2: counts the connection until the socket is closed, as its streams go on when nobody holds a sender.
struct Held<IO> {
    io: IO,
    _open: OpenConnection,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Held<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Held<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Runs an HTTP/2 connection's tasks on the thread that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct LocalTasks;

impl<F: Future + 'static> Executor<F> for LocalTasks {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

fn dns_refusal(host: &str, error: &io::Error) -> Refusal {
    let refusal = Refusal::upstream(ErrorClass::Dns, format!("{host} cannot be resolved: {error}"));
    Refusal { termination: Termination::Gateway, ..refusal }
}

/// The upstream did not accept in time.
#[must_use]
pub fn connect_timeout() -> Refusal {
    Refusal::timeout(ErrorClass::ConnectTimeout, "the upstream did not accept the connection in time")
}

fn connect_refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::TimedOut => connect_timeout(),
        _ => Refusal::upstream(ErrorClass::ConnectRefused, format!("the upstream cannot be connected to: {error}")),
    }
}
