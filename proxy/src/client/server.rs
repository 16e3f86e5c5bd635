//! Accepting clients: bounded, under deadlines, and by the protocol that TLS agreed on. Nothing is sniffed.

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tollgate_record::vocabulary::{ClientIpSource, ErrorClass};
use tollgate_tls::ServerNames;

use crate::client::connection::{ConnectionFacts, Counted, IoFacts, TlsFacts, Watched};
use crate::client::handshake;
use crate::client::idle::Awake;
use crate::client::proxy_header::receive;
use crate::client::tls_stream::TlsStream;
use crate::config::ProxyConfig;
use crate::forwarding;
use crate::runtime::worker::Worker;
use crate::task::cancel::{Cut, Quiet};
use crate::task::timer::Alarms;
use crate::transaction::forward;
use tollgate_proxy_http::proxy_protocol::ProxyHeaderPolicy;
use tollgate_proxy_http::quota::Admitted;

/// Wait after accept failed, for want of file descriptors most likely.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// Fields of a head for which hyper has places on the stack; for more it allocates them for each head.
const PARSER_HEADERS: usize = 100;

/// How many times its configured bound HTTP/2's header list may be before h2 itself refuses it, which leaves no record:
/// what is over the bound and under this is refused, and recorded, as any request.
const HEADER_LIST_HEADROOM: u32 = 4;

tokio::task_local! {
    /// Drops the HTTP/2 stream that this task serves.
    static STREAM: Cut;
}

/// What drops the transaction that the calling task serves, and nothing else of its connection if that can be.
#[must_use]
pub fn cut_of(connection: &ConnectionFacts) -> Cut {
    let stream = if connection.http2 { STREAM.try_with(Cut::clone).ok() } else { None };
    stream.unwrap_or_else(|| connection.cut.clone())
}

/// Runs HTTP/2's streams on the worker's own thread, each until it ends or is cut.
#[derive(Debug, Clone, Copy)]
pub struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        let cut = Cut::default();
        tokio::task::spawn_local(STREAM.scope(cut.clone(), async move {
            tokio::select! {
                biased;
                () = cut.happened() => {}
                _ = future => {}
            }
        }));
    }
}

/// Who a connection is from, and whom it serves.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// The TCP peer.
    peer: SocketAddr,
    /// The peer, or whom its PROXY header names.
    client: SocketAddr,
    /// Where the client was learnt.
    source: ClientIpSource,
    /// Where the client connected to, if anybody tells.
    local: Option<SocketAddr>,
}

/// One listener of one worker.
#[derive(Debug)]
pub struct Server {
    pub(crate) worker: Rc<Worker>,
    listener: usize,
    /// Its HTTP/1 connections that are not at rest.
    pub(crate) awake: Rc<Awake>,
}

/// A connection that is ready for its first request.
enum Greeted {
    Plain(TcpStream, Rc<ConnectionFacts>),
    Tls(Box<TlsStream>, Rc<ConnectionFacts>),
}

/// Both protocols towards clients.
#[derive(Debug)]
pub struct Protocols {
    pub(crate) http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
}

impl Protocols {
    /// Sets every limit of both from the configuration.
    #[must_use]
    pub fn new(config: &ProxyConfig) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(Alarms)
            .header_read_timeout(config.timeouts.header_read.0)
            .max_buf_size((config.limits.head_bytes_max.0 as usize).max(8 * 1024));
        let headers_max = config.limits.headers_max.value;
        if headers_max > PARSER_HEADERS {
            http1.max_headers(headers_max);
        }
        let mut http2 = http2::Builder::new(LocalExecutor);
        let h2 = &config.http2;
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(h2.streams_max)
            .max_header_list_size(h2.header_list_bytes_max.saturating_mul(HEADER_LIST_HEADROOM))
            .initial_stream_window_size(h2.stream_window_bytes)
            .initial_connection_window_size(h2.connection_window_bytes)
            .max_frame_size(h2.frame_bytes_max)
            .max_send_buf_size(h2.send_buffer_bytes)
            .max_pending_accept_reset_streams(h2.pending_resets_max)
            .max_local_error_reset_streams(h2.local_error_resets_max)
            .keep_alive_interval(h2.keepalive_interval.0)
            .keep_alive_timeout(h2.keepalive_timeout.0);
        Self { http1, http2 }
    }
}

impl Server {
    /// For this listener of the plan.
    #[must_use]
    pub fn new(worker: &Rc<Worker>, listener: usize) -> Rc<Self> {
        Rc::new(Self { worker: worker.clone(), listener, awake: Rc::default() })
    }

    /// Accepts until the worker drains.
    pub async fn accept(self: Rc<Self>, listener: TcpListener) {
        let drain = self.worker.drain.clone();
        let metrics = self.worker.metrics.shared();
        let plan = self.worker.plan();
        let name = &plan.listeners[self.listener].name;
        let (accepted, open) =
            (metrics.connections.with_label_values(&[name]), metrics.connections_open.with_label_values(&[name]));
        let refused_at = name.clone();
        drop(plan);
        tokio::task::spawn_local(self.awake.clone().look_after(self.worker.clone()));
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = drain.cancelled() => return,
                connected = listener.accept() => match connected {
                    Ok(connected) => connected,
                    Err(_) => {
                        tokio::time::sleep(ACCEPT_RETRY).await;
                        continue;
                    }
                },
            };
            accepted.inc();
            let admitted = match self.admit(peer) {
                Ok(admitted) => admitted,
                Err(cap) => {
                    metrics.connections_refused.with_label_values(&[&refused_at, cap]).inc();
                    continue;
                }
            };
            let counted = Counted::new(self.worker.clone(), open.clone(), admitted);
            tokio::task::spawn_local(self.clone().serve(stream, peer, counted));
        }
    }

    /// What a connection holds of the caps, or the cap that is reached.
    fn admit(&self, peer: SocketAddr) -> Result<Admitted, &'static str> {
        let plan = self.worker.plan();
        if self.worker.connections.get() >= plan.config.limits.connections_max {
            return Err("worker");
        }
        let ip = peer.ip().to_canonical();
        let listener = &plan.listeners[self.listener];
        // Whom a connection serves is not known before its PROXY header.
        let shared = || listener.proxy_headers.is_some() || forwarding::is_trusted(ip, &plan.trusted_hops);
        listener.quota.admit(ip, shared)
    }

    async fn serve(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, counted: Counted) {
        // In boxes, what is large and over before the connection is: its task keeps room for whatever it ever waited in.
        let greeted = Box::pin(self.greet(stream, peer, counted)).await;
        match greeted {
            None => {}
            Some(Greeted::Plain(stream, facts)) => self.serve_http1(stream, facts).await,
            Some(Greeted::Tls(stream, facts)) if facts.http2 => Box::pin(self.serve_http2(stream, facts)).await,
            Some(Greeted::Tls(stream, facts)) => self.serve_http1(stream, facts).await,
        }
    }

    /// Everything before the first request; `None` = there will be none.
    async fn greet(&self, mut stream: TcpStream, peer: SocketAddr, mut counted: Counted) -> Option<Greeted> {
        stream.set_nodelay(true).ok()?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut ends = Ends { peer, client: peer, source: ClientIpSource::Peer, local: stream.local_addr().ok() };
        let plan = self.worker.plan();
        let mut handshake = plan.config.timeouts.handshake.0;
        let proxy_headers = plan.listeners[self.listener].proxy_headers.clone();
        // Not for as long as the header takes.
        drop(plan);
        if let Some(headers) = proxy_headers {
            let began_at = Instant::now();
            if !self.take_proxy_header(&mut stream, &headers, handshake, &mut ends, &mut counted).await {
                return None;
            }
            handshake = handshake.saturating_sub(began_at.elapsed());
        }
        let tls = self.worker.plan().listeners[self.listener].tls.clone();
        match tls {
            None => Some(Greeted::Plain(stream, self.facts(ends, None, false, counted))),
            Some(tls) => self.shake(stream, ends, tls, handshake, counted).await,
        }
    }

    /// Learns from its PROXY header whom a connection serves; false = it is to be closed.
    async fn take_proxy_header(
        &self,
        stream: &mut TcpStream,
        headers: &ProxyHeaderPolicy,
        patience: Duration,
        ends: &mut Ends,
        counted: &mut Counted,
    ) -> bool {
        let received = tokio::time::timeout(patience, receive(stream, ends.peer.ip(), headers)).await;
        let plan = self.worker.plan();
        let (listener, metrics) = (&plan.listeners[self.listener], self.worker.metrics.shared());
        let reason = match &received {
            Ok(Ok(header)) => {
                if let Some((client, local)) = header.ends {
                    ends.client = SocketAddr::new(client.ip().to_canonical(), client.port());
                    (ends.source, ends.local) = (ClientIpSource::ProxyProtocol, Some(local));
                }
                None
            }
            Ok(Err(error)) => error.reason(),
            Err(_) => Some("timeout"),
        };
        if let Some(reason) = reason {
            metrics.proxy_headers_refused.with_label_values(&[&listener.name, reason]).inc();
        }
        if !matches!(received, Ok(Ok(_))) {
            return false;
        }
        let client = ends.client.ip();
        let shared = || forwarding::is_trusted(client, &plan.trusted_hops);
        let served = counted.admitted.serves(&listener.quota, client, shared);
        if let Err(cap) = served {
            metrics.connections_refused.with_label_values(&[&listener.name, cap]).inc();
        }
        served.is_ok()
    }

    /// Shakes hands; a handshake that fails is recorded.
    async fn shake(
        &self,
        stream: TcpStream,
        ends: Ends,
        names: Arc<ServerNames>,
        handshake: Duration,
        counted: Counted,
    ) -> Option<Greeted> {
        self.worker.room().await;
        let began_at = Instant::now();
        let deadline = began_at + handshake;
        // Who connects and sends nothing has begun no transaction.
        match tokio::time::timeout_at(deadline.into(), stream.peek(&mut [0])).await {
            Ok(Ok(bytes)) if bytes > 0 => {}
            _ => return None,
        }
        let mut tls = TlsFacts::default();
        let fields = self.worker.plan().config.forwarding.client_cert;
        let shaken = tokio::time::timeout_at(deadline.into(), handshake::shake(stream, &names, fields, &mut tls)).await;
        let failure = match shaken {
            Ok(Ok(stream)) => {
                let http2 = tls.alpn.as_deref() == Some("h2");
                return Some(Greeted::Tls(stream, self.facts(ends, Some(tls), http2, counted)));
            }
            Ok(Err(error)) => error,
            Err(_) => std::io::ErrorKind::TimedOut.into(),
        };
        let reason = tollgate_tls::handshake_failure_reason(&failure);
        let facts = self.facts(ends, Some(tls), false, counted);
        let detail = format!("{reason}: {failure}");
        self.worker.handshake_failed(&facts, began_at, reason, &detail);
        None
    }

    fn facts(&self, ends: Ends, tls: Option<TlsFacts>, http2: bool, counted: Counted) -> Rc<ConnectionFacts> {
        let client_ip = ends.client.ip().to_string();
        Rc::new(ConnectionFacts {
            listener: self.listener,
            peer_ip: ends.peer.ip().to_string(),
            client: ends.client,
            client_value: HeaderValue::from_str(&client_ip).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            client_ip,
            client_source: ends.source,
            local: ends.local,
            http2,
            tls,
            io: Arc::new(IoFacts::default()),
            cut: Cut::default(),
            leave: Cut::default(),
            _counted: counted,
            requests: Cell::new(0),
            open: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
        })
    }

    pub(crate) fn watched<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO, facts: &ConnectionFacts) -> Watched<IO> {
        let plan = self.worker.plan();
        let write_max = Some(plan.config.timeouts.client_write.0);
        let watched = Watched::new(io, facts.io.clone(), self.worker.epoch, write_max);
        if facts.http2 { watched.metered(&plan.config.http2) } else { watched }
    }

    async fn serve_http2<IO>(&self, io: IO, facts: Rc<ConnectionFacts>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(self.watched(io, &facts));
        let service = {
            let (worker, facts) = (self.worker.clone(), facts.clone());
            // Boxed: hyper moves each stream's future into a task, and out of it, and this one is large.
            service_fn(move |request| Box::pin(forward::handle(worker.clone(), facts.clone(), request)))
        };
        let connection = self.worker.plan().protocols.http2.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let idle = self.worker.plan().config.timeouts.http2_idle.0;
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = Quiet::cancelled(&self.worker.drain) => {
                let grace = self.worker.plan().config.timeouts.drain_first_request.0;
                // It would be told to go away before it reads the request that is on its way.
                let begun = std::future::poll_fn(|cx| match connection.as_mut().poll(cx) {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    Poll::Pending if facts.requests.get() > 0 => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                match tokio::time::timeout(grace, begun).await {
                    Ok(Some(ended)) => ended,
                    // GOAWAY comes after the client's first frames, which it may owe for ever.
                    Err(_) if facts.io.read_bytes.load(Relaxed) == 0 => return,
                    Ok(None) | Err(_) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
            () = facts.leave.happened() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = facts.idle_for(idle) => {
                connection.as_mut().graceful_shutdown();
                let last_streams = tokio::time::timeout(idle, connection).await;
                last_streams.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            self.note_flood(&facts, &error);
        }
    }

    /// Records an HTTP/2 connection that was cut for what its frames ask of us. How others end shows in the transactions
    /// that they carried.
    fn note_flood(&self, facts: &ConnectionFacts, error: &hyper::Error) {
        let engine = error.source().and_then(|source| source.downcast_ref::<h2::Error>()).filter(|error| {
            error.is_go_away() && error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
        });
        if let Some(error) = engine {
            facts.io.note_flood("engine", error.to_string());
        }
        let Some((cause, detail)) = facts.io.flood() else { return };
        let listener = &self.worker.plan().listeners[facts.listener].name;
        self.worker.metrics.shared().http2_floods.with_label_values(&[listener, cause]).inc();
        // The connection's first byte is not this transaction's.
        facts.io.take_first_byte_at(self.worker.epoch, false);
        self.worker.malformed(facts, None, ErrorClass::RateLimited, detail);
    }
}
