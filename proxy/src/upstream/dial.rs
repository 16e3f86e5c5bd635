//! Opens a connection: a socket, and HTTP on it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tollgate_proxy_config::{Http2, Protocol};
use tollgate_proxy_http::proxy_protocol::encode;
use tollgate_record::vocabulary::ErrorClass;

use crate::socket::{IoFacts, Watched};
use crate::upstream::lease::{Ends, IdleFlag, Sender};
use crate::upstream::reach::{Socket, reach};
use crate::upstream::shared::Shared;
use crate::upstream::slot::{OpenConnection, Slot};
use crate::upstream::{Connector, Lease, PeerAddr, Pool, SendBody, UpstreamError, UpstreamFacts, Wanted};

/// Bytes of a response head.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Streams begun on an HTTP/2 connection before the upstream's SETTINGS say how many it takes. The others wait for
/// them, because a stream too many would be refused.
const STREAMS_BEFORE_SETTINGS: usize = 1;

/// Opens a connection and leases it. An HTTP/2 connection is shared from then on.
///
/// # Errors
/// The upstream cannot be reached. Nothing was sent.
pub async fn dial<B: SendBody>(
    connector: &Connector,
    pool: &Pool<B>,
    upstream: usize,
    wanted: &Wanted,
    deadline: Instant,
    open: OpenConnection,
    facts: &mut UpstreamFacts,
) -> Result<Box<Lease<B>>, UpstreamError> {
    let slot = pool.slot(upstream);
    let target = slot.upstream();
    let header = encode::header(target.key.proxy_protocol, wanted.client.0, wanted.client.1);
    let reached = reach(&connector.resolver, target, wanted.tunnel, &header, deadline, facts).await;
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
        epoch: connector.epoch,
        tunnel: wanted.tunnel,
    };
    let http = &pool.config.file.http2;
    let opened = match (socket, http2) {
        (Socket::Tcp(io), false) => opening.http1(io, open).await,
        (Socket::Unix(io), false) => opening.http1(io, open).await,
        (Socket::Tls(io, _), false) => opening.http1(*io, open).await,
        (Socket::Tcp(io), true) => opening.http2(io, open, slot, http).await,
        (Socket::Unix(io), true) => opening.http2(io, open, slot, http).await,
        (Socket::Tls(io, _), true) => opening.http2(*io, open, slot, http).await,
    };
    opened.map_err(|error| {
        let detail = format!("the upstream connection failed: {error}");
        UpstreamError::unreachable(ErrorClass::UpstreamReset, detail)
    })
}

/// A connected socket on which HTTP is about to begin.
struct Opening {
    upstream: usize,
    addr: PeerAddr,
    client: Option<Ends>,
    changes: u32,
    epoch: Instant,
    tunnel: bool,
}

impl Opening {
    /// Starts HTTP/1.1 in a task that ends with the connection.
    async fn http1<IO, B: SendBody>(self, stream: IO, open: OpenConnection) -> hyper::Result<Box<Lease<B>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Arc::new(IoFacts::default());
        let watched = TokioIo::new(Watched::new(stream, io.clone(), self.epoch, None));
        let (sender, connection) =
            // One buffer and one plain write a request: most have no body, and a vectored write of small parts costs
            // more than copying them.
            http1::Builder::new().max_buf_size(RESPONSE_HEAD_BYTES_MAX).writev(false).handshake(watched).await?;
        let (open, tunnel) = if self.tunnel { (None, Some(open)) } else { (Some(open), None) };
        let switches = tunnel.is_some();
        let idle = IdleFlag::default();
        let (task_idle, facts) = (idle.clone(), io.clone());
        tokio::task::spawn_local(async move {
            // The result is dropped: the exchange that the connection carried reports how it ended.
            let _ended = match switches {
                true => connection.with_upgrades().await,
                false => drive(connection, &task_idle, &facts).await,
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
            idle: idle.into(),
        }))
    }

    /// Starts HTTP/2, shares the connection, and leases a stream of it.
    async fn http2<IO, B: SendBody>(
        self,
        stream: IO,
        open: OpenConnection,
        slot: &Slot<B>,
        config: &Http2,
    ) -> hyper::Result<Box<Lease<B>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = Arc::new(IoFacts::default());
        let watched = Watched::new(CountedSocket { io: stream, _open: open }, io.clone(), self.epoch, None);
        let mut builder = http2::Builder::new(LocalTasks);
        builder
            .timer(TokioTimer::new())
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .max_header_list_size(config.header_list_bytes_max)
            .initial_stream_window_size(config.stream_window_bytes)
            .initial_connection_window_size(config.connection_window_bytes)
            .max_frame_size(config.frame_bytes_max)
            .max_send_buf_size(config.send_buffer_bytes)
            .keep_alive_interval(config.keepalive_interval.0)
            .keep_alive_timeout(config.keepalive_timeout.0);
        let (sender, connection) = builder.handshake(TokioIo::new(watched)).await?;
        let peer_streams_max = Rc::new(Cell::new(None));
        let (facts, streams_max) = (io.clone(), peer_streams_max.clone());
        tokio::task::spawn_local(async move {
            let mut connection = std::pin::pin!(connection);
            // The result is dropped: the exchanges that the connection carried report how it ended.
            let _ended = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // An upstream's first frame is its SETTINGS (RFC 9113 section 3.4), so a first byte means that they are
                // known.
                if facts.read_bytes.load(Relaxed) > 0 {
                    streams_max.set(Some(connection.current_max_send_streams()));
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

/// Drives an HTTP/1.1 connection. hyper wakes the task once more when the last of a response is taken, and has nothing
/// to do then. A connection that is idle on both sides is not polled, which spares hyper's checks on every request.
async fn drive<C: Future + Unpin>(mut connection: C, idle: &IdleFlag, io: &IoFacts) -> C::Output {
    std::future::poll_fn(|cx| match idle.is_set() && io.quiet.load(Acquire) {
        true => Poll::Pending,
        false => Pin::new(&mut connection).poll(cx),
    })
    .await
}

/// Counts an HTTP/2 connection until its socket is closed: streams go on after the last sender is dropped.
struct CountedSocket<IO> {
    io: IO,
    _open: OpenConnection,
}

impl<IO: AsyncRead + Unpin> AsyncRead for CountedSocket<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for CountedSocket<IO> {
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

/// Spawns an HTTP/2 connection's tasks on the thread of the connection.
#[derive(Debug, Clone, Copy)]
pub struct LocalTasks;

impl<F: Future + 'static> Executor<F> for LocalTasks {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
